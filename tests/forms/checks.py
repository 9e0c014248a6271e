"""Compare a form in onnxruntime with torch, and read properties of its graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import tiny
from onnx import TensorProto, helper, numpy_helper

DEFAULT_DOMAINS = ("", "ai.onnx")
TOLERANCES = {"float32": 2e-5, "float16": 5e-2, "bfloat16": 5e-1}
FAST_GELU_TOLERANCE = 5e-3


@dataclass(frozen=True)
class Agreement:
    """The agreement of one output with torch.

    Attributes:
        gap: The largest absolute difference.
        cosine: The smallest cosine between a vector and the one of torch.
    """

    gap: float
    cosine: float


def compare(
    model: onnx.ModelProto, name: str, meanings: dict[str, str], folder: str | None = None
) -> dict[str, Agreement]:
    """Compare a graph in onnxruntime with torch in float64 on two padded batches.

    Args:
        model: The graph, with all data unless `folder` is given.
        name: The name of the encoder, a key of `tiny.SIZES`.
        meanings: The key in `tiny.reference` of each output.
        folder: The folder of `model.onnx` and its external data.

    Returns:
        The agreement of each output; token embeddings at padding are ignored.
    """
    runnable = widened(model) if has_bfloat16(model) else model
    session = open_session(runnable if folder is None else f"{folder}/model.onnx")
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {output: [] for output in meanings}
    for tokens in (12, 7) if is_dynamic(model) else (12,):
        every = tiny.batch(name, tokens)
        names = [value.name for value in real_inputs(model)]
        feed = {value.name: array_for(value, every) for value in real_inputs(model)}
        expected = tiny.reference(name, {key: every[key] for key in names})
        for output, value in zip(meanings, session.run(list(meanings), feed), strict=True):
            kept = every["attention_mask"] != 0 if np.ndim(value) == 3 else slice(None)
            pairs[output].append((np.asarray(value, np.float64)[kept], expected[meanings[output]][kept]))
    return {output: agreement(*map(np.concatenate, zip(*found, strict=True))) for output, found in pairs.items()}


def agreement(got: np.ndarray, expected: np.ndarray) -> Agreement:
    """Return the agreement of two arrays of vectors [N, D]."""
    lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
    return Agreement(float(np.abs(got - expected).max()), float(((got * expected).sum(1) / lengths).min()))


def array_for(value: onnx.ValueInfoProto, every: dict[str, np.ndarray]) -> np.ndarray:
    """Return the array of a graph input; a mask with 4 axes is added to the attention scores."""
    array = every[value.name]
    if len(value.type.tensor_type.shape.dim) == 4:
        array = (1 - array[:, None, None, :]) * -1e4
    return array.astype(dtype(value))


def open_session(model: onnx.ModelProto | str) -> onnxruntime.InferenceSession:
    """Open a session on the CPU with one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    source = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def real_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the graph inputs that are not weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    """Return the numpy type of a graph input."""
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def is_dynamic(model: onnx.ModelProto) -> bool:
    """Return whether the token axis has a dynamic length."""
    return not real_inputs(model)[0].type.tensor_type.shape.dim[1].HasField("dim_value")


def tensors(model: onnx.ModelProto) -> list[TensorProto]:
    """Return all tensors of a graph, in initializers and attributes."""
    in_attributes = [
        attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")
    ]
    return [*model.graph.initializer, *in_attributes]


def has_bfloat16(model: onnx.ModelProto) -> bool:
    """Return whether any weight is bfloat16, which few CPU kernels of onnxruntime support."""
    return any(tensor.data_type == TensorProto.BFLOAT16 for tensor in tensors(model))


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph in which every bfloat16 is a float32."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.value_info[:]
    for tensor in tensors(wide):
        if tensor.data_type == TensorProto.BFLOAT16:
            array = numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in wide.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
    return wide


def tolerance(kind: str, model: onnx.ModelProto) -> float | None:
    """Return the largest accepted difference from torch, or None for weights of 8 bits and fewer."""
    approximate = any(node.op_type == "FastGelu" for node in model.graph.node)
    return FAST_GELU_TOLERANCE if approximate and kind == "float32" else TOLERANCES.get(kind)


def foreign_ops(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of operators outside the default domain, by name."""
    names = [f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in DEFAULT_DOMAINS]
    return dict(sorted(Counter(names).items()))


def opset(model: onnx.ModelProto) -> int:
    """Return the opset of the default domain."""
    return next(entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS)


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove doc strings and node metadata, which contain stack traces with paths of the machine."""
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    for part in [*parts, *model.graph.input, *model.graph.output, *model.functions]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model
