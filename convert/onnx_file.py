"""From bytes on disk to an ONNX model, reading nothing but the file itself and allocating nothing on its word."""

import dataclasses
import hashlib
import math
import os
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from minilm_jax.errors import ConversionError

# Protobuf's own limit for one message.
_MAX_BYTES = 2**31 - 1
_MAX_NODES = 50_000
_DOMAINS = ("", "ai.onnx")
_REFUSED = {
    "functions": "model-local functions",
    "training_info": "training information",
}


@dataclasses.dataclass(frozen=True)
class OnnxFile:
    """An ONNX model and where it came from.

    Attributes:
        path: The file.
        sha256: Of its bytes.
        model: The parsed model, all its tensors inside.
    """

    path: Path
    sha256: str
    model: onnx.ModelProto

    @property
    def opset(self) -> int:
        """Version of the ONNX operator set that the graph uses."""
        return next((o.version for o in self.model.opset_import if o.domain in _DOMAINS), 0)


def read_onnx(path: str | Path) -> OnnxFile:
    """Reads and checks an ONNX file.

    Args:
        path: The file.

    Returns:
        The model.

    Raises:
        ConversionError: The file is missing, damaged, or uses what no BERT encoder needs.
    """
    path = Path(path)
    try:
        size = os.stat(path).st_size
        if size > _MAX_BYTES:
            raise ConversionError(f"{path} has {size:,} bytes; one ONNX file holds at most {_MAX_BYTES:,}.")
        data = path.read_bytes()
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ConversionError(f"{path} is no ONNX file, or its end is missing; fetch it again.") from None
    try:
        check_model(model)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None
    return OnnxFile(path, hashlib.sha256(data).hexdigest(), model)


def check_model(model: onnx.ModelProto) -> None:
    """Refuses what no BERT encoder needs and what would be unsafe to go on with.

    Args:
        model: A parsed model.

    Raises:
        ConversionError: It has no graph, uses a feature outside plain ONNX, or a tensor does not hold what it says.
    """
    if not model.graph.node:
        raise ConversionError("there is no graph in it; this is no ONNX model.")
    if len(model.graph.node) > _MAX_NODES:
        raise ConversionError(f"the graph has {len(model.graph.node):,} nodes; a BERT encoder has some hundreds.")
    for field, name in _REFUSED.items():
        if len(getattr(model, field)):
            raise ConversionError(f"it has {name}, which no BERT encoder needs.")
    if model.graph.sparse_initializer:
        raise ConversionError("it has sparse initialisers, which are not supported.")
    for node in model.graph.node:
        _check_node(node)
    for tensor in model.graph.initializer:
        _check_tensor(tensor)


def to_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """Returns the contents of a tensor of a checked model."""
    return numpy_helper.to_array(tensor)


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in _DOMAINS:
        raise ConversionError(f"node {node.name!r} is {node.domain}.{node.op_type}; only plain ONNX is supported.")
    for attribute in node.attribute:
        if attribute.HasField("g") or attribute.graphs:
            raise ConversionError(f"node {node.name!r} ({node.op_type}) has a subgraph; a BERT encoder has none.")
        if attribute.type == onnx.AttributeProto.TENSOR:
            _check_tensor(attribute.t)


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ConversionError(
            f"tensor {tensor.name!r} lies in another file; load the model with onnx.load and save it as one file first."
        )
    if any(size < 0 for size in tensor.dims):
        raise ConversionError(f"tensor {tensor.name!r} has a negative size: {list(tensor.dims)}.")
    try:
        itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        raise ConversionError(f"tensor {tensor.name!r} has the unknown type {tensor.data_type}.") from None
    # A tensor's values stand in raw_data or in one of the typed fields, of which at most one is not empty.
    typed = sum(len(getattr(tensor, field)) for field in ("float_data", "int32_data", "int64_data", "double_data"))
    expected = math.prod(tensor.dims)
    if len(tensor.raw_data) != expected * itemsize and typed != expected:
        raise ConversionError(f"tensor {tensor.name!r} says {list(tensor.dims)} but does not hold so many numbers.")
