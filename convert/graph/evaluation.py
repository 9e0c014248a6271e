"""Compute the output of an operator on constants, with limits on memory and work before it runs.

The arithmetic is that of `onnx.reference`. Operators that are not listed here are not computed: those with subgraphs,
random operators, and operators whose output size is hard to bound. Every other one is bounded by its inputs.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.graph.constant import is_float
from convert.graph.graph import Graph
from convert.graph.node import Node

Array = NDArray[Any]
Operands = Sequence[Array | None]
# The number of elements of the output, or an upper bound.
Size = Callable[[Node, list[Array]], int]

# numpy broadcasts at most this many axes.
_MAX_RANK = 32
# Some operators of onnx.reference are loops in Python; they only run on this many elements.
_MAX_SLOW = 2**16
# A product of matrices takes less time per multiplication than other operators per element.
_PRODUCTS_PER_ELEMENT = 64
# The errors of onnx.reference for operands and settings that do not match.
_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def evaluate(graph: Graph, node: Node, operands: Operands) -> list[Array] | None:
    """Return the outputs of a node of the ONNX domain whose inputs are all constants.

    Args:
        graph: The graph, which limits memory and work.
        node: The node.
        operands: The value of each input, None for an input that is left out.

    Returns:
        The outputs, or None if the operator is not one of those that are computed.

    Raises:
        ConversionError: The output, or the work to compute it, exceeds the limits for a file of this size.
        ValueError, TypeError, IndexError, OverflowError: The sizes of the operands do not match.
    """
    size = FAST.get(node.op_type) or SLOW.get(node.op_type)
    given = [_widened(operand) for operand in operands if operand is not None]
    if size is None or not given:
        return None
    elements, read = size(node, given), sum(operand.size for operand in given)
    if node.op_type in SLOW and elements + read > _MAX_SLOW:
        return None
    graph.check_memory(elements * max(8 if node.op_type in _MAKERS else 4, *(a.itemsize for a in given)), node)
    graph.spend(elements + read + _products(node, given) // _PRODUCTS_PER_ELEMENT, node)
    return _run(graph.opset, node, [None if operand is None else _widened(operand) for operand in operands])


def _run(opset: int, node: Node, operands: Operands) -> list[Array] | None:
    from onnx.reference import ReferenceEvaluator

    names = [f"x{index}" if operand is not None else "" for index, operand in enumerate(operands)]
    outputs = [f"y{index}" for index in range(len(node.outputs))]
    try:
        proto = helper.make_node(node.op_type, names, outputs)
        # As keyword arguments of make_node, an attribute named "domain" would choose another operator.
        proto.attribute.extend(helper.make_attribute(name, value) for name, value in node.attributes.items())
        inputs = [onnx.ValueInfoProto(name=name) for name in names if name]
        graph = helper.make_graph([proto], "one", inputs, [onnx.ValueInfoProto(name=name) for name in outputs])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        feed = {name: operand for name, operand in zip(names, operands, strict=True) if name}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(model).run(None, feed)
    except _ERRORS:
        return None
    arrays = [np.asarray(result) for result in results]
    return arrays if len(arrays) == len(outputs) and all(array.dtype.kind in "biuf" for array in arrays) else None


def _widened(operand: Array) -> Array:
    # Casts between float types are ignored, so an operand may have fewer bits than it has in the graph.
    return operand.astype(np.float32) if is_float(operand) and operand.itemsize < 4 else operand


def _broadcast(node: Node, given: list[Array]) -> int:
    return math.prod(np.broadcast_shapes(*(operand.shape for operand in given)))


def _first(node: Node, given: list[Array]) -> int:
    return given[0].size * max(1, given[0].ndim if node.op_type == "NonZero" else 1)


def _expanded(node: Node, given: list[Array]) -> int:
    return math.prod(np.broadcast_shapes(given[0].shape, _sizes(given[1])))


def _tiled(node: Node, given: list[Array]) -> int:
    return math.prod(max(0, size * count) for size, count in zip(given[0].shape, _sizes(given[1]), strict=True))


def _filled(node: Node, given: list[Array]) -> int:
    return math.prod(map(abs, _sizes(given[0])))


def _counted(node: Node, given: list[Array]) -> int:
    start, stop, step = (np.float64(operand.reshape(())) for operand in given)
    return max(0, math.ceil(float((stop - start) / step)))


def _padded(node: Node, given: list[Array]) -> int:
    pads = node.attribute("pads", [0]) if len(given) == 1 else _sizes(given[1])
    return math.prod(size + 2 * max(map(abs, pads), default=0) for size in given[0].shape)


def _gathered(node: Node, given: list[Array]) -> int:
    axis = node.attribute("axis", 0)
    return given[1].size * (given[0].size // max(1, given[0].shape[axis]))


def _gathered_by_element(node: Node, given: list[Array]) -> int:
    return given[1].size


def _gathered_by_index(node: Node, given: list[Array]) -> int:
    return given[0].size * given[1].size


def _one_hot(node: Node, given: list[Array]) -> int:
    return given[0].size * max(1, int(given[1].reshape(())))


def _multiplied(node: Node, given: list[Array]) -> int:
    if min(operand.ndim for operand in given[:2]) < 2:
        return max(given[0].size, given[1].size)
    rows = given[0].shape[-2] if not node.attributes.get("transA") else given[0].shape[-1]
    columns = given[1].shape[-1] if not node.attributes.get("transB") else given[1].shape[-2]
    return math.prod(np.broadcast_shapes(given[0].shape[:-2], given[1].shape[:-2])) * rows * columns


def _products(node: Node, given: list[Array]) -> int:
    inner = min(given[0].shape[-2:], default=1) and max(given[0].shape[-2:], default=1)
    return _multiplied(node, given) * inner if node.op_type in ("MatMul", "Gemm") else 0


def _sizes(shape: Array) -> list[int]:
    if shape.size > _MAX_RANK:
        raise ValueError(f"it has {shape.size} axes")
    return [int(size) for size in shape.reshape(-1)]


_MAKERS = ("Range", "ConstantOfShape", "OneHot", "EyeLike", "NonZero", "ArgMax", "ArgMin", "Shape", "Size")
_ARITHMETIC = "Add Sub Mul Div Pow Mod Min Max Sum Mean Where PRelu BitwiseAnd BitwiseOr BitwiseXor"
_COMPARISONS = "Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor"
_FUNCTIONS = "Abs Ceil Clip Cos Exp Floor IsNaN Log Neg Not Reciprocal Relu Round Sign Sin Sqrt Tanh"
_REDUCTIONS = "ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare ArgMax ArgMin"
_LOOPS = (
    "Acos Asin Atan Cosh Elu Erf Gelu HardSigmoid IsInf LeakyRelu Selu Sigmoid Sinh Softplus Softsign Tan Compress"
    " Hardmax LogSoftmax ReduceLogSum ReduceLogSumExp ReverseSequence ScatterElements ScatterND TopK Unique"
)
FAST: dict[str, Size] = {
    **dict.fromkeys(f"{_ARITHMETIC} {_COMPARISONS}".split(), _broadcast),
    **dict.fromkeys(f"{_FUNCTIONS} {_REDUCTIONS} CumSum EyeLike Flatten NonZero Softmax Trilu".split(), _first),
    **dict.fromkeys(("Shape", "Size"), lambda node, given: given[0].ndim + 1),
    **dict.fromkeys(("MatMul", "Gemm"), _multiplied),
    "Expand": _expanded,
    "Tile": _tiled,
    "ConstantOfShape": _filled,
    "Range": _counted,
    "Pad": _padded,
    "Gather": _gathered,
    "GatherElements": _gathered_by_element,
}
SLOW: dict[str, Size] = {
    **dict.fromkeys(_LOOPS.split(), _first),
    "BitShift": _broadcast,
    "GatherND": _gathered_by_index,
    "OneHot": _one_hot,
}
