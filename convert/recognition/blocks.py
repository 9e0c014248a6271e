"""Find lookups and dense layers in a graph, in the forms that exporters write."""

import dataclasses

import numpy as np

from convert.graph.constant import Constant, is_float
from convert.graph.folding import looked_up
from convert.graph.graph import Graph
from convert.graph.node import Node
from minilm_jax.errors import ConversionError

# These operators rearrange, scale or mask the elements of a tensor without combining them.
REARRANGING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand")
SCALING = ("Mul", "Div")
MASKING = ("Add", "Where", "Sub")


@dataclasses.dataclass(frozen=True)
class Linear:
    """A dense layer: input · kernel + bias.

    Attributes:
        input: Name of its input tensor.
        output: Name of its output tensor.
        kernel: The kernel [in, out].
        bias: The bias [out], or None.
        node: Label of the node that multiplies.
    """

    input: str
    output: str
    kernel: Constant
    bias: Constant | None
    node: str


@dataclasses.dataclass(frozen=True)
class Lookup:
    """A lookup of table rows by id."""

    table: Constant
    ids: str
    output: str
    node: str


def find_lookups(graph: Graph) -> list[Lookup]:
    """Return the lookups: Gather by ids from a constant matrix, or Slice of its first rows."""
    folded = (node for name, node in graph.folded.items() if looked_up(graph, name) is node)
    lookups = []
    for node in (*graph.nodes, *folded):
        if (node.op_type == "Gather" and node.attribute("axis", 0) == 0) or node.op_type == "Slice":
            table = graph.constant(node.input(0))
            if table is not None and table.value.ndim == 2 and is_float(table.value):
                lookups.append(Lookup(table, _ids(graph, node), node.output, node.label))
    return lookups


def _ids(graph: Graph, node: Node) -> str:
    # A Slice of rows and columns from the start takes the first rows.
    starts = graph.constant(node.input(1)) if node.op_type == "Slice" else None
    return "" if starts is not None and not starts.value.any() else node.input(1)


def find_linears(graph: Graph) -> list[Linear]:
    """Return the dense layers: MatMul with a constant matrix and the Add after it, or Gemm."""
    found = (_linear(graph, node) for node in graph.nodes if node.op_type in ("MatMul", "Gemm"))
    return [linear for linear in found if linear is not None]


def _linear(graph: Graph, node: Node) -> Linear | None:
    kernel = graph.constant(node.input(1))
    if kernel is None or kernel.value.ndim != 2 or not is_float(kernel.value):
        return None
    bias = None
    if node.op_type == "Gemm":
        if node.attribute("transA", 0) or node.attribute("alpha", 1.0) != 1 or node.attribute("beta", 1.0) != 1:
            raise ConversionError(f"{node} is a Gemm with transA, alpha or beta, which is not supported.")
        if node.attribute("transB", 0):
            kernel = kernel.then("transB", kernel.value.T)
        bias = graph.constant(node.input(2))
    if bias is not None:
        return Linear(node.input(0), node.output, kernel, bias, node.label)
    for tensor in (node.output, *_reshaped(graph, node.output)):
        for add in graph.consumers(tensor, "Add"):
            operand = graph.constant_operand(add)
            if operand is not None and operand[0].value.shape == (kernel.value.shape[1],):
                return Linear(node.input(0), add.output, kernel, operand[0], node.label)
    return Linear(node.input(0), node.output, kernel, None, node.label)


def _reshaped(graph: Graph, tensor: str) -> list[str]:
    return [node.output for node in graph.consumers(tensor, "Reshape")]


def zeros(*shape: int) -> Constant:
    """Return zeros in place of a weight that an exporter omitted because it is all zeros."""
    return Constant(np.zeros(shape, np.float32), "not in the graph (all zeros)", stored="float32")
