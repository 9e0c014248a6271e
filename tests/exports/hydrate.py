"""Fill the real weights into an exported graph that was stored without them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

WEIGHTS_KEY = "minilm_jax.weights"


def named_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield every tensor of the main graph, in initializers and Constant nodes.

    Args:
        model: The graph.

    Yields:
        The name of the tensor in the graph, and the tensor.
    """
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.type == onnx.AttributeProto.TENSOR:
                yield node.output[0], attribute.t


def pop_record(model: onnx.ModelProto) -> dict[str, tuple[str, bool]]:
    """Remove the record of the missing weights from a skeleton and return it.

    Args:
        model: A skeleton, changed in place.

    Returns:
        Tensor name in the graph -> (name in the state dict, whether the graph stores it transposed).
    """
    index = next(i for i, entry in enumerate(model.metadata_props) if entry.key == WEIGHTS_KEY)
    record = json.loads(model.metadata_props[index].value)
    del model.metadata_props[index]
    return {name: (key, transposed) for name, (key, transposed) in record.items()}


def hydrate(path: Path, weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Read a skeleton and fill in its weights, which gives the model as the exporter wrote it.

    Args:
        path: A skeleton file of this folder, `.onnx.gz`.
        weights: Float32 arrays by their name in `model.safetensors`, the state dict of BertModel.

    Returns:
        The complete model.
    """
    model = onnx.load_from_string(gzip.decompress(path.read_bytes()))
    record = pop_record(model)
    for name, tensor in named_tensors(model):
        if name in record:
            key, transposed = record[name]
            array = weights[key].T if transposed else weights[key]
            tensor.raw_data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return model
