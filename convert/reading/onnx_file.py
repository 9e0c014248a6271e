"""From bytes on disk to an ONNX model, reading nothing that the user did not name and trusting no number in it."""

import dataclasses
import hashlib
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from convert.reading.external_data import is_external, read_external_data
from convert.reading.tensors import all_tensors, check_tensor, size_in_bytes
from minilm_jax.errors import ConversionError

# Protobuf's own limit for one message.
_MAX_BYTES = 2**31 - 1
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
        return next((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 0)


def read_onnx(path: str | Path) -> OnnxFile:
    """Reads and checks an ONNX file, with the data that it keeps in files beside it.

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
        model, sha256 = parse(data), hashlib.sha256(data).hexdigest()
        del data  # The model has a copy; two would be most of the memory that a conversion takes.
        check_model(model)
        read_external_data(all_tensors(model), path.parent)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None
    return OnnxFile(path, sha256, model)


def parse(data: bytes) -> onnx.ModelProto:
    """Returns the model in some bytes; raises ConversionError if there is none."""
    try:
        return onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ConversionError("this is no ONNX file, or its end is missing; fetch it again.") from None


def check_model(model: onnx.ModelProto) -> None:
    """Refuses what no BERT encoder needs and what would be unsafe to go on with.

    Args:
        model: A parsed model.

    Raises:
        ConversionError: It has no graph, uses a feature outside plain ONNX, or a tensor does not hold what it says.
    """
    graph = model.graph
    if not graph.node:
        raise ConversionError("there is no graph in it; this is no ONNX model.")
    for things, most, name in ((graph.node, _MAX_NODES, "nodes"), (graph.initializer, _MAX_TENSORS, "initialisers")):
        if len(things) > most:
            raise ConversionError(f"the graph has {len(things):,} {name}; a BERT encoder has some hundreds.")
    for field, name in _REFUSED.items():
        if len(getattr(model, field)):
            raise ConversionError(f"it has {name}, which no BERT encoder needs.")
    if graph.sparse_initializer:
        raise ConversionError("it has sparse initialisers, which are not supported.")
    for node in graph.node:
        _check_node(node)
    for value in (*graph.input, *graph.output):
        _check_name(value.name)
    _check_tensors(model)


def _check_tensors(model: onnx.ModelProto) -> None:
    total = sum(map(size_in_bytes, all_tensors(model)))
    if total > _MAX_BYTES:
        raise ConversionError(f"its tensors say that they have {total:,} bytes; at most {_MAX_BYTES:,} are supported.")
    for tensor in all_tensors(model):
        _check_name(tensor.name)
        if not is_external(tensor):
            check_tensor(tensor)


def _check_name(name: str | bytes) -> None:
    # Names come out again in messages and records. Bytes that are no UTF-8 stay bytes.
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
            f"node {name!r} is {node.domain}.{node.op_type}; only ONNX's own operators and com.microsoft's are known."
        )
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors or attribute.tensors:
            raise ConversionError(f"node {name!r} ({node.op_type}) has a sparse tensor or a list of them.")
        if attribute.HasField("g") or attribute.graphs:
            raise ConversionError(f"node {name!r} ({node.op_type}) has a subgraph; a BERT encoder has none.")
