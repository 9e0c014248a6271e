"""sentence-transformers on torch: float32 on CPU, whose defaults are its fastest (SDPA attention, a thread a core)."""

import sys
from pathlib import Path

from benchmarks.peers import Encode

_ONE_SENTENCE = """
from sentence_transformers import SentenceTransformer
SentenceTransformer({folder!r}, device="cpu", local_files_only=True).encode({sentence!r})
"""


def load(folder: Path, batch_size: int = 32) -> Encode:
    """Loads the encoder from a model folder; a batch size of 32 is its default."""
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports] only in the peers' environment

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return lambda texts: model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)


def one_sentence(sentence: str, folder: Path) -> list[str]:
    """Returns the command that embeds a sentence."""
    return [sys.executable, "-c", _ONE_SENTENCE.format(folder=str(folder), sentence=sentence)]
