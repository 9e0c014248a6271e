"""Fold the operations on constants, so that the rest of the converter sees only the results."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.graph.constant import Constant, is_float
from convert.graph.evaluation import evaluate
from convert.graph.graph import Graph
from convert.graph.node import Node
from convert.graph.rearranging import REARRANGE
from convert.reading.tensors import to_array

Array = NDArray[Any]

_LABELS = {"DequantizeLinear": "dequantized", "QuantizeLinear": "quantized"}
# Rows of a table remain recognizable through these operators.
_KEEPING_ROWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Identity", "Cast")


def fold(graph: Graph, node: Node, domain: str) -> list[Constant] | None:
    """Return the outputs of a node whose inputs are all constants.

    Args:
        graph: The graph up to the node.
        node: The node.
        domain: The domain of its operator.

    Returns:
        A constant for each output, as a view of its operand where possible; None if an input is not constant, or for
        an operator that is not computed.

    Raises:
        ConversionError: The constant is too large, or the shapes of its parts do not match.
        ValueError, TypeError, IndexError, KeyError, OverflowError: The settings of the node do not match the constant.
    """
    if node.op_type == "Constant":
        constant = _constant_node(node)
        return None if constant is None else [constant]
    operands = [graph.constant(name) for name in node.inputs]
    given = [operand for operand in operands if operand is not None]
    if not given or len(given) < sum(map(bool, node.inputs)) or _adds_looked_up_rows(graph, node):
        return None
    if (rearranged := _rearranged(graph, node, operands)) is not None:
        return rearranged
    if domain not in ("", "ai.onnx"):
        return None
    values = evaluate(graph, node, [None if operand is None else operand.value for operand in operands])
    # A weight is usually larger than the other operands, such as its scale.
    main = max(given, key=lambda operand: operand.value.size)
    return None if values is None else [_computed(main, node.op_type, value) for value in values]


def _rearranged(graph: Graph, node: Node, operands: Sequence[Constant | None]) -> list[Constant] | None:
    first, *rest = operands
    if first is None or node.op_type not in REARRANGE:
        return None
    if node.op_type == "Concat":
        graph.check_memory(sum(operand.value.nbytes for operand in operands if operand is not None), node)
    found = REARRANGE[node.op_type](first.value, node, *(None if o is None else o.value for o in rest))
    if isinstance(found, list):
        return [first.then(label, value) for label, value in found]
    return None if found is None else [first.then(_LABELS.get(node.op_type, node.op_type), found)]


def _computed(main: Constant, op_type: str, value: Array) -> Constant:
    # Arithmetic on stored integers that gives floats is a dequantization.
    dequantized = main.stored.startswith(("int", "uint")) and is_float(value)
    label = "dequantized" if dequantized else op_type
    return dataclasses.replace(main, value=value) if label in main.undone[-1:] else main.then(label, value)


def _adds_looked_up_rows(graph: Graph, node: Node) -> bool:
    """Return whether a node adds rows of tables, which stay separate because each belongs to its own table."""
    return node.op_type in ("Add", "Sum") and any(looked_up(graph, name) for name in node.inputs)


def looked_up(graph: Graph, name: str) -> Node | None:
    """Return the node that looks up constant rows of a table, if a constant consists of such rows."""
    node = graph.folded.get(name)
    while node is not None and node.op_type in _KEEPING_ROWS:
        name = node.input(0)
        node = graph.folded.get(name)
    if node is None or node.op_type not in ("Gather", "Slice"):
        return None
    table, ids = graph.constant(node.input(0)), graph.constant(node.input(1))
    is_table = table is not None and table.value.ndim == 2 and is_float(table.value)
    return node if is_table and (ids is None or ids.value.ndim > 0) else None


def _constant_node(node: Node) -> Constant | None:
    content = next(iter(node.attributes.values()), None)
    if isinstance(content, onnx.TensorProto):
        array = to_array(content)
    elif isinstance(content, int | float | list) and np.asarray(content).dtype.kind in "if":
        array = np.asarray(content, np.float32 if np.asarray(content).dtype.kind == "f" else np.int64)
    else:
        return None
    return Constant(array, node.output, stored=str(array.dtype))
