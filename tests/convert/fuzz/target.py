"""What is fuzzed: the reader and the recognizer of ONNX files. The one place that names them."""

import contextlib
import tempfile
import warnings
from pathlib import Path

from convert.graph.lowering import plain_graph
from convert.reading.onnx_file import read_onnx
from convert.recognition.bert_layout import recognize
from minilm_jax.errors import MinilmJaxError


def examine(data: bytes) -> None:
    """Read bytes as an ONNX file and looks for the encoder in it; leaves nothing behind.

    Args:
        data: The contents of a file.

    Raises:
        Exception: Whatever was raised, or warned of, that is no error of our own.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        with contextlib.suppress(MinilmJaxError):
            recognize(plain_graph(read_onnx(path).model))
