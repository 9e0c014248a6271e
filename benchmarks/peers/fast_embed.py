"""fastembed with its default settings, on the ONNX files of onnxruntime."""

import functools
import json
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import THREADS, Vectors, onnx_runtime, prepared
from minilm_jax.config import Precision

_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_FILES = ("config.json", "tokenizer.json", "special_tokens_map.json")


class _FastEmbed:
    def __init__(self, model: Any) -> None:
        self._model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.stack(list(self._model.embed(texts)))


def load(folder: Path, precision: Precision) -> _FastEmbed:
    """Load the model from a model folder."""
    # This is imported here, because whole-process benchmarks import this module without loading the model.
    from fastembed import TextEmbedding  # pyright: ignore[reportMissingImports] only in the environment for peers

    path = model_folder(folder, precision)
    return _FastEmbed(TextEmbedding(_NAME, threads=THREADS, cuda=False, specific_model_path=str(path)))


def model_folder(folder: Path, precision: Precision) -> Path:
    """Return the model in a folder as fastembed would download it, created at the first call."""
    name = f"fastembed-onnxruntime-{version('onnxruntime')}-{precision}"
    onnx = onnx_runtime.onnx_file(folder, precision, fused=precision == "float32")
    return prepared(name, functools.partial(_write_folder, folder, onnx))


def _write_folder(folder: Path, onnx: Path, path: Path) -> None:
    path.mkdir()
    for name in _FILES:
        shutil.copyfile(folder / name, path / name)
    # All contenders truncate at this length, but the model's own file says 512.
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8")) | {"model_max_length": 256}
    (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    os.link(onnx, path / "model.onnx")
