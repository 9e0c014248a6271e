"""The ONNX files of `tests/forms`: the accepted and the refused ones, and how to unpack them."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tests.helpers.paths import FORMS

ACCEPTED: Mapping[str, Any] = json.loads((FORMS / "forms.json").read_text("utf-8"))
REFUSED: Mapping[str, Any] = json.loads((FORMS / "refused.json").read_text("utf-8"))
# Forms of these kinds store float weights of this dtype.
STORED = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def unpacked(name: str, file: str, folder: Path) -> Path:
    """Unpack the file of a form into `folder`; return the path of its ONNX file."""
    data = gzip.decompress((FORMS / file).read_bytes())
    if not file.endswith(".tar.gz"):
        (folder / f"{name}.onnx").write_bytes(data)
        return folder / f"{name}.onnx"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.rglob("*.onnx"))
