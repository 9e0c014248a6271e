"""minilm-jax, as installed: nothing is set that a user would not have."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers import Ids, Precision, Vectors
from minilm_jax import SentenceEncoder
from minilm_jax.tokens.batching import Batch


class _Ours:
    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        return list(self._encoder.embed_batches(Batch(ids, np.ones_like(ids)) for ids in batches))

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode(texts, show_progress_bar=False)


def load(folder: Path, precision: Precision) -> _Ours:
    """Loads the encoder from a model folder."""
    warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")  # All cut there; the peers do not say so.
    return _Ours(SentenceEncoder.from_pretrained(folder, precision=precision))


def one_sentence(sentence: str) -> list[str]:
    """Returns the command that embeds a sentence; the model is found in the cache."""
    return [sys.executable, "-m", "minilm_jax", "embed", sentence]
