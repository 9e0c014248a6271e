"""Recognises the building blocks of a transformer in a graph, whatever an exporter made of them."""

import dataclasses

import numpy as np
import onnx

from convert.graph import Constant, Graph, attribute
from minilm_jax.errors import ConversionError

# Operations that move or scale a tensor's elements without mixing them.
LAYOUT = ("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand")
SCALING = ("Mul", "Div")
MASKING = ("Add", "Where", "Sub")


@dataclasses.dataclass(frozen=True)
class Linear:
    """A dense layer: input · kernel + bias.

    Attributes:
        input: The tensor that it takes.
        output: The tensor that it makes.
        kernel: [in, out].
        bias: [out], or None.
    """

    input: str
    output: str
    kernel: Constant
    bias: Constant | None


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """A layer normalisation over the last axis, one node or many."""

    input: str
    output: str
    scale: Constant
    bias: Constant
    epsilon: float


@dataclasses.dataclass(frozen=True)
class Attention:
    """softmax(query · keyᵀ) · value, by the tensors that go in and come out."""

    query: str
    key: str
    value: str
    output: str


@dataclasses.dataclass(frozen=True)
class Lookup:
    """A row taken from a table for every id."""

    table: Constant
    ids: str
    output: str


def find_lookups(graph: Graph) -> list[Lookup]:
    """Finds the embedding tables: Gather by ids from a constant matrix, or Slice of its first rows."""
    lookups = []
    for node in graph.nodes:
        if (node.op_type == "Gather" and attribute(node, "axis", 0) == 0) or node.op_type == "Slice":
            table = graph.constant(node.input[0])
            if table is not None and table.value.ndim == 2 and table.value.dtype.kind == "f":
                lookups.append(Lookup(table, node.input[1], node.output[0]))
    return lookups


def find_linears(graph: Graph) -> list[Linear]:
    """Finds the dense layers: MatMul with a constant matrix and the Add after it, or Gemm."""
    found = (_linear(graph, node) for node in graph.nodes if node.op_type in ("MatMul", "Gemm"))
    return [linear for linear in found if linear is not None]


def _linear(graph: Graph, node: onnx.NodeProto) -> Linear | None:
    kernel = graph.constant(node.input[1])
    if kernel is None or kernel.value.ndim != 2:
        return None
    if node.op_type == "Gemm":
        if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1 or attribute(node, "beta", 1.0) != 1:
            raise ConversionError(f"node {node.name!r} is a Gemm with transA, alpha or beta, which no exporter writes.")
        if attribute(node, "transB", 0):
            kernel = Constant(kernel.value.T, kernel.source, (*kernel.undone, "transB"))
        if len(node.input) > 2 and (bias := graph.constant(node.input[2])) is not None:
            return Linear(node.input[0], node.output[0], kernel, bias)
    for add in graph.consumers(node.output[0], "Add"):
        operand = graph.constant_operand(add)
        if operand is not None and operand[0].value.shape == (kernel.value.shape[1],):
            return Linear(node.input[0], add.output[0], kernel, operand[0])
    return Linear(node.input[0], node.output[0], kernel, None)


def find_layer_norms(graph: Graph) -> list[LayerNorm]:
    """Finds the layer normalisations: LayerNormalization, or the arithmetic that stood for it before opset 17."""
    fused = (_fused_layer_norm(graph, node) for node in graph.nodes if node.op_type == "LayerNormalization")
    spelled_out = (_spelled_out_layer_norm(graph, node) for node in graph.nodes if node.op_type == "Div")
    return [norm for norm in (*fused, *spelled_out) if norm is not None]


def _fused_layer_norm(graph: Graph, node: onnx.NodeProto) -> LayerNorm | None:
    scale, bias = (graph.constant(name) for name in node.input[1:3])
    if scale is None or bias is None:
        return None
    return LayerNorm(node.input[0], node.output[0], scale, bias, _float32(attribute(node, "epsilon", 1e-5)))


def _spelled_out_layer_norm(graph: Graph, divide: onnx.NodeProto) -> LayerNorm | None:
    # (x - mean) / sqrt(mean((x - mean)²) + epsilon) · scale + bias
    centred = graph.producer(divide.input[0], "Sub")
    root = graph.producer(divide.input[1], "Sqrt")
    if centred is None or root is None or graph.producer(centred.input[1], "ReduceMean") is None:
        return None
    shifted = graph.producer(root.input[0], "Add")
    epsilon = graph.constant_operand(shifted) if shifted is not None else None
    scaled = _then(graph, divide.output[0], "Mul")
    moved = _then(graph, scaled[1], "Add") if scaled is not None else None
    if epsilon is None or scaled is None or moved is None:
        return None
    return LayerNorm(centred.input[0], moved[1], scaled[0], moved[0], _float32(epsilon[0].value.item()))


def _then(graph: Graph, name: str, op_type: str) -> tuple[Constant, str] | None:
    for node in graph.consumers(name, op_type):
        if (operand := graph.constant_operand(node)) is not None:
            return operand[0], node.output[0]
    return None


def _float32(value: float) -> float:
    # The shortest decimal that means the same float32: 1e-12, not 9.999999960041972e-13.
    return float(str(np.float32(value)))


def find_attentions(graph: Graph) -> list[Attention]:
    """Finds the attention blocks in the order of computation: Attention nodes, or a Softmax between two MatMuls."""
    attentions = []
    for node in graph.nodes:
        if node.op_type == "Attention":
            query, key, value = node.input[:3]
            attentions.append(Attention(query, key, value, node.output[0]))
        elif node.op_type == "Softmax" and (attention := _around_softmax(graph, node)) is not None:
            attentions.append(attention)
    return attentions


def _around_softmax(graph: Graph, softmax: onnx.NodeProto) -> Attention | None:
    def product(tensor: str) -> onnx.NodeProto | None:
        node = graph.producer(tensor, "MatMul")
        return node if node is not None and graph.constant_operand(node) is None else None

    scores = graph.trace_back(softmax.input[0], (*LAYOUT, *SCALING, *MASKING), product)
    # Where(IsNaN(...), 0, ...) guards rows that attend to nothing; onnx's version_converter flattens around a Softmax.
    after = (*LAYOUT, "Where")
    mixed = graph.trace_forward(softmax.output[0], (*after, "MatMul"), product)
    if len(scores) != 1 or len(mixed) != 1:
        return None
    query, key = scores[0].input
    from_softmax = graph.trace_back(mixed[0].input[0], after, lambda t: t == softmax.output[0] or None)
    value = mixed[0].input[1] if from_softmax else mixed[0].input[0]
    return Attention(query, key, value, mixed[0].output[0])
