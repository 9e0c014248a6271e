"""fastembed at its defaults, on the files that onnxruntime is given."""

import functools
import json
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import THREADS, Precision, Vectors, onnx_runtime, prepared

_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_FILES = ("config.json", "tokenizer.json", "special_tokens_map.json")
_ONE_SENTENCE = """
from fastembed import TextEmbedding
list(TextEmbedding({name!r}, specific_model_path={folder!r}).embed({sentence!r}))
"""


class _FastEmbed:
    def __init__(self, model: Any) -> None:
        self._model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.stack(list(self._model.embed(texts)))


def load(folder: Path, precision: Precision) -> _FastEmbed:
    """Loads the encoder from a model folder."""
    from fastembed import TextEmbedding  # pyright: ignore[reportMissingImports] only in the peers' environment

    path = prepare(folder, precision)
    return _FastEmbed(TextEmbedding(_NAME, threads=THREADS, cuda=False, specific_model_path=str(path)))


def prepare(folder: Path, precision: Precision) -> Path:
    """Returns the folder as fastembed would download it, made at the first call."""
    name = f"fastembed-onnxruntime-{version('onnxruntime')}-{precision}"
    return prepared(
        name,
        functools.partial(_lay_out, folder, onnx_runtime.onnx_file(folder, precision, fused=precision == "float32")),
    )


def one_sentence(sentence: str, folder: Path) -> list[str]:
    """Returns the command that embeds a sentence."""
    path = str(prepare(folder, "float32"))
    return [sys.executable, "-c", _ONE_SENTENCE.format(name=_NAME, folder=path, sentence=sentence)]


def _lay_out(folder: Path, model: Path, path: Path) -> None:
    path.mkdir()
    for name in _FILES:
        shutil.copyfile(folder / name, path / name)
    # The length at which all contenders cut; the model's own file says 512.
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8")) | {"model_max_length": 256}
    (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    os.link(model, path / "model.onnx")
