"""Rearrange, cast and dequantize constants, as views of the stored tensors where possible.

A weight that is a view can be written back to the file.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from convert.graph import dequantize
from convert.graph.constant import Columns, is_float
from convert.graph.node import Node

Array = NDArray[Any]
# Several outputs, each with the operation that gives it.
Parts = list[tuple[str | Columns, Array]]


def _transpose(value: Array, node: Node) -> Array:
    return np.transpose(value, node.attribute("perm", None))


def _unsqueeze(value: Array, node: Node, axes: Array | None = None) -> Array:
    # Up to opset 12 the axes are an attribute, later an input.
    return np.expand_dims(value, _axes(node.attribute("axes", []) if axes is None else axes))


def _squeeze(value: Array, node: Node, axes: Array | None = None) -> Array:
    chosen = _axes(node.attribute("axes", []) if axes is None else axes)
    return np.squeeze(value, chosen or None)


def _slice(
    value: Array,
    node: Node,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    # Up to opset 9 the settings are attributes, later inputs.
    first = _axes(node.attribute("starts", []) if starts is None else starts)
    last = _axes(node.attribute("ends", []) if ends is None else ends)
    chosen = _axes(node.attribute("axes", []) if axes is None else axes) or tuple(range(len(first)))
    strides = _axes([1] * len(first) if steps is None else steps)
    parts = [slice(None)] * value.ndim
    for axis, start, end, step in zip(chosen, first, last, strides, strict=True):
        parts[axis] = slice(start, end, step)
    return value[tuple(parts)]


def _split(value: Array, node: Node, sizes: Array | None = None) -> Parts | None:
    axis, count = node.attribute("axis", 0), len(node.outputs)
    if axis not in (-1, value.ndim - 1):
        return None
    given = _axes(node.attribute("split", []) if sizes is None else sizes)
    size = -(-value.shape[axis] // max(1, count))
    stops = list(itertools.accumulate(given or [size] * (count - 1)))[: count - 1]
    parts = np.split(value, stops, axis=axis)
    bounds = [0, *stops, value.shape[axis]]
    if len(given or parts) != count:
        raise ValueError("the number of parts is not that of the outputs")
    return [(Columns(*between), part) for between, part in zip(itertools.pairwise(bounds), parts, strict=True)]


def _gather(value: Array, node: Node, ids: Array) -> Array | None:
    # The row of a single id is a view; other lookups are computed.
    axis = node.attribute("axis", 0)
    return np.moveaxis(value, axis, 0)[int(ids)] if ids.ndim == 0 else None


def _axes(values: Any) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.asarray(values).reshape(-1)[:64])


def _reshape(value: Array, node: Node, shape: Array) -> Array:
    # In an ONNX Reshape, a size of 0 keeps the size at that axis.
    sizes = [int(size) for size in shape.reshape(-1)[:64]]
    return value.reshape([value.shape[i] if size == 0 else size for i, size in enumerate(sizes)])


def _concat(value: Array, node: Node, *rest: Array) -> Array:
    return np.concatenate([value, *rest], axis=node.attribute("axis", 0))


def _cast(value: Array, node: Node) -> Array:
    dtype = helper.tensor_dtype_to_np_dtype(node.attribute("to", 0))
    if dtype.kind not in "biufV":
        raise ValueError(f"it casts to {dtype}")
    # Casts between float types are ignored: every weight becomes float32 at the end, with the precision of the file.
    return value if is_float(value) and is_float(np.empty(0, dtype)) else value.astype(dtype)


def _dequantize(value: Array, node: Node, scale: Array, zero_point: Array | None = None) -> Array:
    axis, block_size = node.attribute("axis", 1), node.attribute("block_size", 0)
    return dequantize.linear(value, scale, zero_point, axis=axis, block_size=block_size)


def _quantize(value: Array, node: Node, scale: Array, zero_point: Array | None = None) -> Array:
    return dequantize.quantize_linear(value, scale, zero_point, axis=node.attribute("axis", 1))


# These functions return a view where possible, and None for settings with which the operator does not only rearrange.
REARRANGE: dict[str, Callable[..., Array | Parts | None]] = {
    "Identity": lambda value, node: value,
    "Transpose": _transpose,
    "Cast": _cast,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Slice": _slice,
    "Gather": _gather,
    "Split": _split,
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
