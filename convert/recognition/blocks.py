"""Recognises the building blocks of a transformer in a graph, whatever an exporter made of them."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.graph.constants import is_float
from convert.graph.graph import Constant, Graph, Node
from minilm_jax.errors import ConversionError

# Operations that move or scale a tensor's elements without mixing them.
LAYOUT = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand")
SCALING = ("Mul", "Div")
MASKING = ("Add", "Where", "Sub")

_BERTS_EPSILON = 1e-12
_LOST_IN_FLOAT16 = 2e-7


@dataclasses.dataclass(frozen=True)
class Linear:
    """A dense layer: input · kernel + bias.

    Attributes:
        input: The tensor that it takes.
        output: The tensor that it makes.
        kernel: [in, out].
        bias: [out], or None.
        node: The operation.
    """

    input: str
    output: str
    kernel: Constant
    bias: Constant | None
    node: str


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """A layer normalisation over the last axis, one node or many."""

    input: str
    output: str
    scale: Constant
    bias: Constant
    epsilon: float
    node: str


@dataclasses.dataclass(frozen=True)
class Attention:
    """softmax(query · keyᵀ · scale) · value, by the tensors that go in and come out.

    Attributes:
        query: The tensor multiplied with keyᵀ.
        key: Likewise.
        value: What the softmax's weights mix.
        output: The mixture.
        heads: How many, where a node says it.
        scale: What the scores are multiplied with; None for 1 / √head size, or where the graph computes it.
    """

    query: str
    key: str
    value: str
    output: str
    heads: int | None
    scale: float | None


@dataclasses.dataclass(frozen=True)
class Lookup:
    """A row taken from a table for every id."""

    table: Constant
    ids: str
    output: str
    node: str


def find_lookups(graph: Graph) -> list[Lookup]:
    """Finds the embedding tables: Gather by ids from a constant matrix, or Slice of its first rows."""
    lookups = []
    for node in graph.nodes:
        if (node.op_type == "Gather" and node.attribute("axis", 0) == 0) or node.op_type == "Slice":
            table = graph.constant(node.input(0))
            if table is not None and table.value.ndim == 2 and is_float(table.value):
                lookups.append(Lookup(table, node.input(1), node.output, node.label))
    return lookups


def find_linears(graph: Graph) -> list[Linear]:
    """Finds the dense layers: MatMul with a constant matrix and the Add after it, or Gemm."""
    found = (_linear(graph, node) for node in graph.nodes if node.op_type in ("MatMul", "Gemm"))
    return [linear for linear in found if linear is not None]


def _linear(graph: Graph, node: Node) -> Linear | None:
    kernel = graph.constant(node.input(1))
    if kernel is None or kernel.value.ndim != 2 or not is_float(kernel.value):
        return None
    bias = None
    if node.op_type == "Gemm":
        if node.attribute("transA", 0) or node.attribute("alpha", 1.0) != 1 or node.attribute("beta", 1.0) != 1:
            raise ConversionError(f"{node} is a Gemm with transA, alpha or beta, which no exporter writes.")
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
    """Finds the layer normalisations: LayerNormalization, or the arithmetic that stood for it before opset 17."""
    fused = (_fused_layer_norm(graph, node) for node in graph.nodes if node.op_type == "LayerNormalization")
    spelled_out = (_spelled_out_layer_norm(graph, node) for node in graph.nodes if node.op_type == "Div")
    return [norm for norm in (*fused, *spelled_out) if norm is not None]


def _fused_layer_norm(graph: Graph, node: Node) -> LayerNorm | None:
    scale, bias = graph.constant(node.input(1)), graph.constant(node.input(2))
    if scale is None:
        return None
    # Exporters drop a bias that is all zeros.
    bias = bias or zeros(len(scale.value.reshape(-1)))
    epsilon = _epsilon(np.float32(node.attribute("epsilon", 1e-5)))
    return LayerNorm(node.input(0), node.output, scale, bias, epsilon, node.label)


def _spelled_out_layer_norm(graph: Graph, divide: Node) -> LayerNorm | None:
    # (x - mean) / sqrt(mean((x - mean)²) + epsilon) · scale + bias
    centred = graph.producer(divide.input(0), "Sub")
    root = graph.producer(divide.input(1), "Sqrt")
    if centred is None or root is None or graph.producer(centred.input(1), "ReduceMean") is None:
        return None
    shifted = graph.producer(root.input(0), "Add")
    epsilon = graph.constant_operand(shifted) if shifted is not None else None
    scaled = _then(graph, divide.output, "Mul")
    moved = _then(graph, scaled[1], "Add") if scaled is not None else None
    if epsilon is None or scaled is None or moved is None or epsilon[0].value.size != 1:
        return None
    small = _epsilon(epsilon[0].value.reshape(()))
    return LayerNorm(centred.input(0), moved[1], scaled[0], moved[0], small, divide.label)


def _then(graph: Graph, name: str, op_type: str) -> tuple[Constant, str] | None:
    for node in graph.consumers(name, op_type):
        if (operand := graph.constant_operand(node)) is not None:
            return operand[0], node.output
    return None


def zeros(*shape: int) -> Constant:
    """Returns what stands for a weight that an exporter left out because it is all zeros."""
    return Constant(np.zeros(shape, np.float32), "none in the graph, so zeros", stored="float32")


def _epsilon(value: np.generic | NDArray[Any]) -> float:
    # 1e-12 is nothing in float16; converters to float16 write 0, or 1e-7 at the least.
    if value.dtype.itemsize == 2 and float(value) < _LOST_IN_FLOAT16:
        return _BERTS_EPSILON
    # The shortest decimal that means the same number: 1e-12, not 9.999999960041972e-13.
    return float(str(value.astype(np.float32)))


def find_attentions(graph: Graph) -> list[Attention]:
    """Finds the attention blocks in the order of computation: Attention nodes, or a Softmax between two MatMuls."""
    found = []
    for node in graph.nodes:
        if node.op_type == "Attention":
            heads, scale = node.attribute("q_num_heads", 0) or None, node.attribute("scale", 0.0) or None
            found.append(Attention(node.input(0), node.input(1), node.input(2), node.output, heads, scale))
        elif node.op_type == "Softmax" and (attention := _around_softmax(graph, node)) is not None:
            found.append(attention)
    return found


def _around_softmax(graph: Graph, softmax: Node) -> Attention | None:
    def product(tensor: str) -> Node | None:
        node = graph.producer(tensor, "MatMul")
        return node if node is not None and graph.constant_operand(node) is None else None

    before = (*LAYOUT, *SCALING, *MASKING)
    # Where(IsNaN(...), 0, ...) guards rows that attend to nothing; onnx's version converter flattens around a Softmax.
    after = (*LAYOUT, "Where")
    scores = graph.trace_back(softmax.input(0), before, product)
    mixed = graph.trace_forward(softmax.output, (*after, "MatMul"), product)
    if len(scores) != 1 or len(mixed) != 1:
        return None
    query, key = scores[0].input(0), scores[0].input(1)
    weights_first = graph.trace_back(mixed[0].input(0), after, lambda t: t == softmax.output or None)
    value = mixed[0].input(1) if weights_first else mixed[0].input(0)
    factor = scaling(graph, softmax.input(0), before, scores[0].output)
    return Attention(query, key, value, mixed[0].output, None, factor)


def scaling(graph: Graph, tensor: str, through: tuple[str, ...], source: str) -> float | None:
    """Returns the number that `source` is multiplied with on its way to `tensor`, or None if the graph computes it."""
    factor = 1.0
    for node in graph.path_back(tensor, through, source):
        if node.op_type in SCALING:
            operand = graph.constant_operand(node)
            if operand is None or operand[0].value.size != 1:
                return None
            number = float(operand[0].value.reshape(()))
            if number == 0:
                return None
            factor *= 1 / number if node.op_type == "Div" else number
    return factor
