"""sentence-transformers on a device: SDPA attention, as it is or compiled by torch."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports] only in the peers' environment
from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports] only there

from benchmarks.gpu.work import padded
from benchmarks.peers import Vectors
from minilm_jax.tokens.batching import Batch, RaggedIds

_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# Texts a call of `encode`; its default of 32 leaves a GPU idle.
_BATCH_SIZE = 512
_LONGEST = 256

# How often torch may compile: as often as there are shapes.
_MOST_SHAPES = 64


class Sbert:
    """A model, and whether torch compiles it."""

    def __init__(self, model: SentenceTransformer, compiled: bool) -> None:
        """Keeps the model's own forward pass beside the compiled one.

        Args:
            model: The model, on its device.
            compiled: Whether to compile.
        """
        self._model, self._compiled = model, compiled
        self._forward = model[0].auto_model.forward
        self._placed: list[dict[str, Any]] = []
        if compiled:
            torch._dynamo.config.recompile_limit = _MOST_SHAPES
            self._compile(dynamic=True)  # As `encode` pads to ever other lengths.

    def place(self, tokens: RaggedIds, budget: int) -> Vectors:
        """Lays texts out on the device and compiles; returns their vectors, float32[n, D]."""
        laid_out = list(padded(tokens, budget))
        self._placed = [_features(batch) for batch, _ in laid_out]
        if self._compiled:
            self._compile(dynamic=len({batch.input_ids.shape for batch, _ in laid_out}) > 1)
        order = np.concatenate([texts for _, texts in laid_out])
        return torch.cat(self._run()).float().cpu().numpy()[np.argsort(order)]

    def run(self) -> None:
        """Computes all that was placed, and waits for it."""
        self._run()
        _wait()

    def _compile(self, *, dynamic: bool) -> None:
        torch._dynamo.reset()
        self._model[0].auto_model.forward = torch.compile(self._forward, dynamic=dynamic)

    def _run(self) -> list[Any]:
        with torch.inference_mode():
            return [self._model(dict(features))["sentence_embedding"] for features in self._placed]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embeds texts as a user does, cut at 256 tokens."""
        return self._model.encode(
            list(texts), batch_size=_BATCH_SIZE, show_progress_bar=False, normalize_embeddings=True
        )

    def multiply(self, rows: int, width: int, wide: int, calls: int) -> float:
        """Returns the seconds of a product of bfloat16[rows, width] and [width, wide], the mean of some calls."""
        x, kernel = (
            torch.randn(shape, dtype=torch.bfloat16, device=_DEVICE) for shape in ((rows, width), (width, wide))
        )
        torch.matmul(x, kernel)
        _wait()
        start = time.perf_counter()
        for _ in range(calls):
            torch.matmul(x, kernel)
        _wait()
        return (time.perf_counter() - start) / calls

    def facts(self) -> Mapping[str, str]:
        """Returns what float32 products are computed in."""
        return {"float32 products, torch": f"{torch.get_float32_matmul_precision()} (highest is float32, no TF32)"}


def load(folder: Path, precision: str, form: str) -> Sbert:
    """Loads the model from its folder."""
    settings = {"dtype": precision, "attn_implementation": "sdpa"}
    model = SentenceTransformer(str(folder), device=_DEVICE, local_files_only=True, model_kwargs=settings)
    model.max_seq_length = _LONGEST
    return Sbert(model.eval(), compiled=form == "torch.compile")


def _features(batch: Batch) -> dict[str, Any]:
    named = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return {name: torch.from_numpy(x.astype(np.int64)).to(_DEVICE) for name, x in named.items()}


def _wait() -> None:
    if _DEVICE == "cuda":
        torch.cuda.synchronize()
