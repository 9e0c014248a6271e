"""A model that a benchmark can load at once, and a contender that loads it."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness.contender import Contender, ModelWorker
from benchmarks.peers import Vectors
from minilm_jax.config import Precision


class FakeModel:
    """Model whose vector of a text is the length of the text and a constant.

    Attributes:
        constant: The second component of each vector; models with equal constants agree.
    """

    def __init__(self, constant: float) -> None:
        self.constant = constant

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.array([[len(text), self.constant] for text in texts], np.float32)


@dataclasses.dataclass(frozen=True)
class FakeContender(Contender):
    constant: float = 1.0
    script: str = ""

    def start(self, folder: Path, precision: Precision) -> ModelWorker:
        return ModelWorker(self.name, FakeModel, self.constant)

    def command(self, folder: Path, precision: Precision, texts: Path) -> list[str]:
        # Without the site module, Python starts faster.
        return [sys.executable, "-S", "-c", self.script, str(folder), precision, str(texts)]
