"""minilm-jax, as installed: nothing is set that a user would not have."""

import sys
import warnings
from pathlib import Path

from benchmarks.peers import Encode


def load(folder: Path) -> Encode:
    """Loads the encoder from a model folder."""
    from minilm_jax import SentenceEncoder

    warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")  # Both cut there; the peer does not say so.
    encoder = SentenceEncoder.from_pretrained(folder)
    return lambda texts: encoder.encode(texts, show_progress_bar=False)


def one_sentence(sentence: str) -> list[str]:
    """Returns the command that embeds a sentence; the model is found in the cache."""
    return [sys.executable, "-m", "minilm_jax", "embed", sentence]
