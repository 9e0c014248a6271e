"""Texts of the engine tests, some of them missing, and the comparison of their vectors."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.helpers.paths import DOCS
from tests.helpers.tolerances import UNIT_VECTORS

TEXTS = [
    "The cat sits outside.",
    None,
    "A man is playing guitar.",
    "",
    "Ünïcode, 日本語 and 🙂",
    " \n",
    "A " + "cat " * 99,
]


def documented_example(package: str) -> tuple[str, str]:
    """Return the code of the example in `docs/engines.md` that uses a package, and its printed output."""
    page = (DOCS / "engines.md").read_text("utf-8")
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    ((code, output),) = [example for example in examples if package in example[0]]
    return code, output


def assert_vectors(vectors: Sequence[Any], expected: Sequence[NDArray[np.float32] | None]) -> None:
    """Assert that the vectors match, and that exactly the missing texts have None."""
    assert [vector is None for vector in vectors] == [vector is None for vector in expected]
    pairs = [pair for pair in zip(vectors, expected, strict=True) if pair[1] is not None]
    np.testing.assert_allclose(*map(np.stack, zip(*pairs, strict=True)), rtol=0, atol=UNIT_VECTORS)
