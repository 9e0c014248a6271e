"""sentence-transformers on torch, with SDPA attention, either eager or compiled by torch."""
# pyright: reportMissingImports=false

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.gpu.workload import padded
from benchmarks.peers import THREADS, Ids, Vectors
from minilm_jax.config import Precision
from minilm_jax.tokens.batching import Batch, RaggedIds

_MAX_TOKENS = 256

# Batches of 32 are the default and the fastest on a CPU, but would leave a GPU mostly idle.
_BATCH_SIZES = {"cpu": 32, "cuda": 512}

# This limit lets torch compile once for every shape.
_MOST_SHAPES = 64


class _Sbert:
    """A `SentenceTransformer` as a `TokenModel` and as a `DeviceModel`."""

    def __init__(self, model: SentenceTransformer, batch_size: int, compiled: bool) -> None:
        self._model, self._batch_size, self._compiled = model, batch_size, compiled
        self._forward = model[0].auto_model.forward
        self._placed: list[dict[str, Any]] = []
        if compiled:
            torch._dynamo.config.recompile_limit = _MOST_SHAPES
            self._compile(dynamic=True)  # `encode` pads to many different lengths.

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        return [_array(self._vectors(self._features(Batch(ids, np.ones_like(ids))))) for ids in batches]

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._model.encode(
            list(texts), batch_size=self._batch_size, show_progress_bar=False, normalize_embeddings=True
        )

    def place(self, tokens: RaggedIds, budget: int) -> Vectors:
        batches = list(padded(tokens, budget))
        self._placed = [self._features(batch) for batch, _ in batches]
        if self._compiled:
            self._compile(dynamic=len({batch.input_ids.shape for batch, _ in batches}) > 1)
        order = np.concatenate([texts for _, texts in batches])
        return _array(torch.cat(self._run()))[np.argsort(order)]

    def run(self) -> None:
        self._run()
        self._wait()

    def _compile(self, *, dynamic: bool) -> None:
        torch._dynamo.reset()
        self._model[0].auto_model.forward = torch.compile(self._forward, dynamic=dynamic)

    def _run(self) -> list[Any]:
        return [self._vectors(features) for features in self._placed]

    @torch.inference_mode()
    def _vectors(self, features: Mapping[str, Any]) -> Any:
        return self._model(dict(features))["sentence_embedding"]

    def _features(self, batch: Batch) -> dict[str, Any]:
        named = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        return {name: torch.from_numpy(x.astype(np.int64)).to(self._model.device) for name, x in named.items()}

    def multiply(self, rows: int, inner: int, columns: int, calls: int) -> float:
        shapes = ((rows, inner), (inner, columns))
        left, right = (torch.randn(shape, dtype=torch.bfloat16, device=self._model.device) for shape in shapes)
        torch.matmul(left, right)
        self._wait()
        start = time.perf_counter()
        for _ in range(calls):
            torch.matmul(left, right)
        self._wait()
        return (time.perf_counter() - start) / calls

    def _wait(self) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize()

    def facts(self) -> Mapping[str, str]:
        return {"float32 products, torch": f"{torch.get_float32_matmul_precision()} (highest is float32, no TF32)"}


def load(folder: Path, precision: Precision, gpu: bool = False, compiled: bool = False) -> _Sbert:
    """Load the model from its folder, onto the GPU if asked for and available."""
    torch.set_num_threads(THREADS)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    settings = {"dtype": precision, "attn_implementation": "sdpa"}
    model = SentenceTransformer(str(folder), device=device, local_files_only=True, model_kwargs=settings)
    model.max_seq_length = _MAX_TOKENS
    return _Sbert(model.eval(), _BATCH_SIZES[device], compiled)


def _array(vectors: Any) -> Vectors:
    return vectors.float().cpu().numpy()
