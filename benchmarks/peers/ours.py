"""minilm-jax as installed, with its default settings."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers import Ids, Vectors
from minilm_jax import SentenceEncoder
from minilm_jax.config import Precision
from minilm_jax.tokens.batching import Batch


class Ours:
    """A `SentenceEncoder` as a `TokenModel`."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        """Keep the encoder; nothing is compiled yet."""
        self._encoder = encoder

    def warm_up(self) -> None:
        """Make the programs of a service before its first request."""
        self._encoder.warm_up()

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        """Embed batches of token ids without padding."""
        return list(self._encoder.embed_batches(Batch(ids, np.ones_like(ids)) for ids in batches))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts, truncated at 256 tokens."""
        return self._encoder.encode(texts, show_progress_bar=False)


def load(folder: Path, precision: Precision) -> Ours:
    """Load the encoder from a model folder."""
    return Ours(encoder(folder, precision))


def encoder(folder: Path, precision: Precision) -> SentenceEncoder:
    """Return the encoder of a model folder, which does not warn about long texts."""
    # All contenders truncate these texts, but only minilm-jax warns about it.
    warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")
    return SentenceEncoder.from_pretrained(folder, precision=precision)
