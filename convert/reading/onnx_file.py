"""Read an ONNX file: only files that the user named, without trusting any size in them."""

import dataclasses
import hashlib
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from convert.reading.external_data import is_external, read_external_data
from convert.reading.other_formats import HEAD_BYTES, check_format
from convert.reading.tensors import all_tensors, check_tensor, size_in_bytes
from minilm_jax.errors import ConversionError

# protobuf limits one message to this size.
_MAX_BYTES = 2**31 - 1
# The tensors of a larger model are in separate files.
_MAX_TENSOR_BYTES = 2**34
_MAX_NODES = 50_000
_MAX_TENSORS = 50_000
_MAX_NAME = 1_000
_DOMAINS = ("", "ai.onnx", "com.microsoft")
_REFUSED = {
    "functions": "model-local functions",
    "training_info": "training information",
}


@dataclasses.dataclass(frozen=True)
class OnnxFile:
    """An ONNX model and the file it was read from.

    Attributes:
        path: The file.
        sha256: SHA-256 of the file, in hexadecimal.
        model: The parsed model with the data of all tensors.
    """

    path: Path
    sha256: str
    model: onnx.ModelProto

    @property
    def opset(self) -> int:
        """Version of the ONNX operator set that the graph uses."""
        return opset_of(self.model)


def read_onnx(path: str | Path) -> OnnxFile:
    """Read and check an ONNX file and its external data files.

    Args:
        path: The file.

    Returns:
        The model.

    Raises:
        ConversionError: The file is missing, damaged, or uses a feature that BERT encoders do not need.
    """
    path = Path(path)
    try:
        size = os.stat(path).st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        data = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        check_format(head)
        if size > _MAX_BYTES:
            raise ConversionError(f"it has {size:,} bytes; one ONNX file holds at most {_MAX_BYTES:,}.")
        model, sha256 = parse(data), hashlib.sha256(data).hexdigest()
        del data  # The model has its own copy; keeping both would nearly double the memory of a conversion.
        check_model(model)
        read_external_data(all_tensors(model), path.parent)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None
    return OnnxFile(path, sha256, model)


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the ONNX operator set that a model uses, 0 if it states none."""
    return next((entry.version for entry in model.opset_import if entry.domain in _DOMAINS[:2]), 0)


def parse(data: bytes) -> onnx.ModelProto:
    """Parse the bytes of an ONNX file; raises ConversionError if they are not one."""
    try:
        return onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ConversionError("this is not an ONNX file, or it is incomplete; download it again.") from None


def check_model(model: onnx.ModelProto) -> None:
    """Raise an error for a model that uses unsupported or unsafe features.

    Args:
        model: A parsed model.

    Raises:
        ConversionError: The graph is empty or uses features beyond plain ONNX, or a tensor is invalid.
    """
    graph = model.graph
    if not graph.node:
        raise ConversionError("the graph is empty; this is not an ONNX model.")
    for items, limit, name in ((graph.node, _MAX_NODES, "nodes"), (graph.initializer, _MAX_TENSORS, "initializers")):
        if len(items) > limit:
            raise ConversionError(f"the graph has {len(items):,} {name}; at most {limit:,} are supported.")
    for field, name in _REFUSED.items():
        if len(getattr(model, field)):
            raise ConversionError(f"it has {name}, which BERT encoders do not need.")
    if graph.sparse_initializer:
        raise ConversionError("it has sparse initializers, which are not supported.")
    for node in graph.node:
        _check_node(node)
    for value in (*graph.input, *graph.output):
        _check_name(value.name)
    _check_tensors(model)


def _check_tensors(model: onnx.ModelProto) -> None:
    total = sum(map(size_in_bytes, all_tensors(model)))
    if total > _MAX_TENSOR_BYTES:
        raise ConversionError(f"its tensors declare {total:,} bytes; at most {_MAX_TENSOR_BYTES:,} are supported.")
    for tensor in all_tensors(model):
        _check_name(tensor.name)
        if not is_external(tensor):
            check_tensor(tensor)


def _check_name(name: str | bytes) -> None:
    # Names appear in messages and in the record. Protobuf returns bytes for a name that is not valid UTF-8.
    if len(name) > _MAX_NAME:
        raise ConversionError(f"the name {name[:80]!r}… is longer than {_MAX_NAME:,} characters.")
    if isinstance(name, bytes) or not name.isprintable():
        raise ConversionError(f"the name {name[:80]!r} has characters that cannot be printed.")


def _check_node(node: onnx.NodeProto) -> None:
    name = node.name[:_MAX_NAME]
    for text in (node.name, node.op_type, node.domain, *node.input, *node.output):
        _check_name(text)
    if node.domain not in _DOMAINS:
        raise ConversionError(
            f"node {name!r} is {node.domain}.{node.op_type}; only operators of ONNX and com.microsoft are supported."
        )
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors or attribute.tensors:
            raise ConversionError(f"node {name!r} ({node.op_type}) has a sparse tensor or a list of tensors.")
        if attribute.HasField("g") or attribute.graphs:
            raise ConversionError(f"node {name!r} ({node.op_type}) has a subgraph, which is not supported.")
