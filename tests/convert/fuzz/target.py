"""The fuzz target: reading an ONNX file and recognizing the encoder in it."""

import contextlib
import tempfile
import warnings
from pathlib import Path

from convert.graph.lowering import plain_graph
from convert.reading.onnx_file import read_onnx
from convert.recognition.bert_layout import recognize
from minilm_jax.errors import MinilmJaxError


def examine(data: bytes) -> None:
    """Read bytes as an ONNX file and recognize the encoder in it.

    Args:
        data: The contents of a file.

    Raises:
        Exception: Any exception or warning that is not an error of minilm_jax.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        with contextlib.suppress(MinilmJaxError):
            recognize(plain_graph(read_onnx(path).model))
