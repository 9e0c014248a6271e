"""The tokenizer of minilm-jax without a model: an upper bound for the input rate of a device."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers import Vectors
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.config import Precision
from minilm_jax.tokens.tokenizer import TextTokenizer


class _Tokenization:
    """A `TextModel` that only tokenizes, on all cores, and returns no vectors."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = TextTokenizer(folder / TOKENIZER_FILE)

    def encode(self, texts: Sequence[str]) -> Vectors:
        self._tokenizer(texts)
        return np.empty((0, 0), np.float32)


def load(folder: Path, precision: Precision) -> _Tokenization:
    """Load the tokenizer of a model folder; the precision is irrelevant."""
    del precision
    return _Tokenization(folder)
