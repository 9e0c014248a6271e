"""Fold the operations that rearrange, cast or dequantize a constant."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.graph import dequantize
from convert.graph.constant import Constant, is_float
from convert.graph.graph import Graph
from convert.graph.node import Node
from convert.reading.tensors import to_array

Array = NDArray[Any]


def fold(graph: Graph, node: Node) -> Constant | None:
    """Return the output of a node that only rearranges, casts or dequantizes constants.

    Args:
        graph: The graph up to the node.
        node: The node.

    Returns:
        The constant, as a view of its operand where possible; None for any other node.

    Raises:
        ConversionError: The constant is too large, or the shapes of its parts do not match.
        ValueError, TypeError, IndexError, KeyError, OverflowError: The settings of the node do not match the constant.
    """
    if node.op_type == "Constant":
        return _constant_node(node)
    operands = [graph.constant(name) for name in node.inputs if name]
    if node.op_type not in _FOLDERS or not operands or any(o is None for o in operands):
        return None
    first, *rest = [o for o in operands if o is not None]
    if node.op_type == "Concat":
        graph.check_memory(sum(o.value.nbytes for o in operands if o is not None), node)
    value = _FOLDERS[node.op_type](first.value, node, *(o.value for o in rest))
    return first.then(_LABELS.get(node.op_type, node.op_type), value)


def _constant_node(node: Node) -> Constant | None:
    content = next(iter(node.attributes.values()), None)
    if isinstance(content, onnx.TensorProto):
        array = to_array(content)
    elif isinstance(content, int | float | list) and np.asarray(content).dtype.kind in "if":
        array = np.asarray(content, np.float32 if np.asarray(content).dtype.kind == "f" else np.int64)
    else:
        return None
    return Constant(array, node.output, stored=str(array.dtype))


def _transpose(value: Array, node: Node) -> Array:
    return np.transpose(value, node.attribute("perm", None))


def _unsqueeze(value: Array, node: Node, axes: Array | None = None) -> Array:
    # Up to opset 12 the axes are an attribute, later an input.
    return np.expand_dims(value, _axes(node.attribute("axes", []) if axes is None else axes))


def _squeeze(value: Array, node: Node, axes: Array | None = None) -> Array:
    chosen = _axes(node.attribute("axes", []) if axes is None else axes)
    return np.squeeze(value, chosen or None)


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


_FOLDERS: dict[str, Callable[..., Array]] = {
    "Identity": lambda value, node: value,
    "Transpose": _transpose,
    "Cast": _cast,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
_LABELS = {"DequantizeLinear": "dequantized", "QuantizeLinear": "quantized"}
