"""What the tests of the engines share: the real model, texts of which some are missing, and their vectors."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

# Read when Ray starts.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
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


@pytest.fixture(scope="session")
def folder() -> Path:
    return model_folder(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def encoder(folder: Path) -> mj.SentenceEncoder:
    return mj.SentenceEncoder.from_pretrained(folder)


@pytest.fixture(scope="session")
def expected(encoder: mj.SentenceEncoder) -> list[NDArray[np.float32] | None]:
    return [encoder.encode(text) if text and text.strip() else None for text in TEXTS]


def on_the_page(package: str) -> tuple[str, str]:
    """Returns what `docs/engines.md` says to write with a package, and what that prints."""
    page = (DOCS / "engines.md").read_text("utf-8")
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    ((code, said),) = [example for example in examples if package in example[0]]
    return code, said


def assert_vectors(found: Sequence[Any], expected: Sequence[NDArray[np.float32] | None]) -> None:
    """Compares vectors one by one; where there is no text there is none."""
    assert [vector is None for vector in found] == [vector is None for vector in expected]
    pairs = [pair for pair in zip(found, expected, strict=True) if pair[1] is not None]
    np.testing.assert_allclose(*map(np.stack, zip(*pairs, strict=True)), rtol=0, atol=TOLERANCE)
