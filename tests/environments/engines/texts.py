"""Texts of the engine tests, some of them missing, and how to compare their vectors."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.helpers.paths import DOCS

TEXTS = [
    "The cat sits outside.",
    None,
    "A man is playing guitar.",
    "",
    "Ünïcode, 日本語 and 🙂",
    " \n",
    "A " + "cat " * 99,
]
# A vector depends on its text alone, up to how float32 sums in batches of other shapes.
TOLERANCE = 1e-6


def on_the_page(package: str) -> tuple[str, str]:
    """Return the code of the example in `docs/engines.md` that uses a package, and its printed output."""
    page = (DOCS / "engines.md").read_text("utf-8")
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    ((code, said),) = [example for example in examples if package in example[0]]
    return code, said


def assert_vectors(found: Sequence[Any], expected: Sequence[NDArray[np.float32] | None]) -> None:
    """Assert that the vectors match, and that exactly the missing texts have None."""
    assert [vector is None for vector in found] == [vector is None for vector in expected]
    pairs = [pair for pair in zip(found, expected, strict=True) if pair[1] is not None]
    np.testing.assert_allclose(*map(np.stack, zip(*pairs, strict=True)), rtol=0, atol=TOLERANCE)
