"""Provide the files that mutations start from."""

import dataclasses
import gzip
from pathlib import Path

from convert.flax_to_onnx import to_onnx
from tests.helpers.paths import FORMS
from tests.helpers.tiny_model import TINY, random_params

# Files that failed in the past, kept as regression tests.
CORPUS = Path(__file__).parent / "corpus"


def seeds() -> dict[str, bytes]:
    """Return small ONNX files by name: from `to_onnx`, from other exporters and quantizers, and from the corpus."""
    forms = {path.name.removesuffix(".onnx.gz"): gzip.decompress(path.read_bytes()) for path in FORMS.glob("*.onnx.gz")}
    corpus = {path.stem: path.read_bytes() for path in CORPUS.glob("*.onnx")}
    return _own() | dict(sorted((forms | corpus).items()))


def _own() -> dict[str, bytes]:
    other = dataclasses.replace(TINY, hidden_act="gelu_new", num_hidden_layers=1)
    return {
        "own": to_onnx(random_params(TINY, seed=0), TINY).SerializeToString(deterministic=True),
        "own-gelu-new": to_onnx(random_params(other, 1, pooler=False), other).SerializeToString(deterministic=True),
    }
