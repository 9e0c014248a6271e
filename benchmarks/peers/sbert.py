"""sentence-transformers on torch, whose defaults are its fastest on a CPU: SDPA attention, batches of 32, sorted."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import THREADS, Ids, Precision, Vectors

_ONE_SENTENCE = """
from sentence_transformers import SentenceTransformer
SentenceTransformer({folder!r}, device="cpu", local_files_only=True).encode({sentence!r})
"""


class _Sbert:
    def __init__(self, model: Any) -> None:
        self._model = model

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        return [self._embed(ids) for ids in batches]

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._model.encode(list(texts), show_progress_bar=False, normalize_embeddings=True)

    def _embed(self, ids: Ids) -> Vectors:
        import torch  # pyright: ignore[reportMissingImports] only in the peers' environment

        tokens = torch.from_numpy(ids.astype(np.int64))
        with torch.inference_mode():
            features = self._model({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
        return features["sentence_embedding"].float().numpy()


def load(folder: Path, precision: Precision) -> _Sbert:
    """Loads the encoder from a model folder."""
    import torch  # pyright: ignore[reportMissingImports] only in the peers' environment
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports] only there

    torch.set_num_threads(THREADS)
    numbers = {"dtype": precision}
    return _Sbert(SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs=numbers))


def one_sentence(sentence: str, folder: Path) -> list[str]:
    """Returns the command that embeds a sentence."""
    return [sys.executable, "-c", _ONE_SENTENCE.format(folder=str(folder), sentence=sentence)]
