"""Find lookups, dense layers and layer normalizations in a graph, in the forms that exporters write."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.graph.constant import Constant, is_float
from convert.graph.folding import looked_up
from convert.graph.graph import Graph
from convert.graph.node import Node
from minilm_jax.errors import ConversionError

# These operators rearrange, scale or mask the elements of a tensor without combining them.
REARRANGING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand")
SCALING = ("Mul", "Div")
MASKING = ("Add", "Where", "Sub")

# float16 cannot represent 1e-12; converters write 0 or 1e-7 instead.
_BERT_EPSILON = 1e-12
_FLOAT16_EPSILON_LIMIT = 2e-7


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
class LayerNorm:
    """A layer normalization over the last axis, in one node or in several."""

    input: str
    output: str
    scale: Constant
    bias: Constant
    epsilon: float
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
                lookups.append(Lookup(table, node.input(1), node.output, node.label))
    return lookups


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


def find_layer_norms(graph: Graph) -> list[LayerNorm]:
    """Return the layer normalizations: LayerNormalization, or the arithmetic that exporters write before opset 17."""
    fused = (_fused_layer_norm(graph, node) for node in graph.nodes if node.op_type == "LayerNormalization")
    decomposed = (_decomposed_layer_norm(graph, node) for node in graph.nodes if node.op_type == "Div")
    return [norm for norm in (*fused, *decomposed) if norm is not None]


def _fused_layer_norm(graph: Graph, node: Node) -> LayerNorm | None:
    scale, bias = graph.constant(node.input(1)), graph.constant(node.input(2))
    if scale is None:
        return None
    # Exporters omit a bias that is all zeros.
    bias = bias or zeros(len(scale.value.reshape(-1)))
    epsilon = _epsilon(np.float32(node.attribute("epsilon", 1e-5)))
    return LayerNorm(node.input(0), node.output, scale, bias, epsilon, node.label)


def _decomposed_layer_norm(graph: Graph, divide: Node) -> LayerNorm | None:
    # The pattern is (x - mean) / sqrt(mean((x - mean)²) + epsilon) · scale + bias.
    centered = graph.producer(divide.input(0), "Sub")
    root = graph.producer(divide.input(1), "Sqrt")
    if centered is None or root is None or graph.producer(centered.input(1), "ReduceMean") is None:
        return None
    variance = graph.producer(root.input(0), "Add")
    epsilon = graph.constant_operand(variance) if variance is not None else None
    scaled = _then(graph, divide.output, "Mul")
    biased = _then(graph, scaled[1], "Add") if scaled is not None else None
    if epsilon is None or scaled is None or biased is None or epsilon[0].value.size != 1:
        return None
    value = _epsilon(epsilon[0].value.reshape(()))
    return LayerNorm(centered.input(0), biased[1], scaled[0], biased[0], value, divide.label)


def _then(graph: Graph, name: str, op_type: str) -> tuple[Constant, str] | None:
    for node in graph.consumers(name, op_type):
        if (operand := graph.constant_operand(node)) is not None:
            return operand[0], node.output
    return None


def zeros(*shape: int) -> Constant:
    """Return zeros in place of a weight that an exporter omitted because it is all zeros."""
    return Constant(np.zeros(shape, np.float32), "not in the graph (all zeros)", stored="float32")


def _epsilon(value: np.generic | NDArray[Any]) -> float:
    if value.dtype.itemsize == 2 and float(value) < _FLOAT16_EPSILON_LIMIT:
        return _BERT_EPSILON
    # The shortest decimal that gives the same float32: 1e-12, not 9.999999960041972e-13.
    return float(str(value.astype(np.float32)))
