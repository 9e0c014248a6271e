"""Find layer normalizations in a graph, in one node or in the arithmetic that exporters write."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.graph.constant import Constant
from convert.graph.graph import Graph
from convert.graph.node import Node
from convert.recognition.blocks import zeros

# float16 cannot represent 1e-12; converters write 0 or 1e-7 instead.
_BERT_EPSILON = 1e-12
_FLOAT16_EPSILON_LIMIT = 2e-7


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """A layer normalization over the last axis, in one node or in several."""

    input: str
    output: str
    scale: Constant
    bias: Constant
    epsilon: float
    node: str


def find_layer_norms(graph: Graph) -> list[LayerNorm]:
    """Return the layer normalizations: LayerNormalization, or the arithmetic of PyTorch or TensorFlow."""
    fused = (_fused(graph, node) for node in graph.nodes if node.op_type == "LayerNormalization")
    divided = (_divided(graph, node) for node in graph.nodes if node.op_type == "Div")
    multiplied = (norm for node in graph.nodes if (norm := _multiplied(graph, node)) is not None)
    return [norm for norm in (*fused, *divided, *multiplied) if norm is not None]


def _fused(graph: Graph, node: Node) -> LayerNorm | None:
    scale, bias = graph.constant(node.input(1)), graph.constant(node.input(2))
    if scale is None:
        return None
    # Exporters omit a bias that is all zeros.
    bias = bias or zeros(len(scale.value.reshape(-1)))
    epsilon = _epsilon(np.float32(node.attribute("epsilon", 1e-5)))
    return LayerNorm(node.input(0), node.output, scale, bias, epsilon, node.label)


def _divided(graph: Graph, divide: Node) -> LayerNorm | None:
    # PyTorch: (x - mean) / sqrt(mean((x - mean)²) + epsilon) · scale + bias.
    centered = graph.producer(divide.input(0), "Sub")
    root = graph.producer(divide.input(1), "Sqrt")
    if centered is None or root is None or graph.producer(centered.input(1), "ReduceMean") is None:
        return None
    epsilon = _epsilon_in(graph, root.input(0))
    return None if epsilon is None else _scaled(graph, centered.input(0), divide.output, epsilon, divide.label)


def _multiplied(graph: Graph, node: Node) -> LayerNorm | None:
    # TensorFlow multiplies by r = 1 / sqrt(mean((x - mean)²) + epsilon).
    variance = _inverse_root(graph, node)
    epsilon = _epsilon_in(graph, variance) if variance is not None else None
    if epsilon is None:
        return None
    for product in graph.consumers(node.output, "Mul"):
        scale = graph.constant_operand(product)
        if scale is not None and (norm := _factored(graph, product.output, scale[0], epsilon, node.label)) is not None:
            return norm
        centered = graph.producer(_other(product, node.output), "Sub")
        if centered is not None and graph.producer(centered.input(1), "ReduceMean") is not None:
            return _scaled(graph, centered.input(0), product.output, epsilon, node.label)
    return None


def _factored(graph: Graph, factor: str, scale: Constant, epsilon: float, node: str) -> LayerNorm | None:
    """Return x · k + (bias - mean · k), or (x - mean) · k + bias, where k = scale · r."""
    products = {_other(product, factor): product.output for product in graph.consumers(factor, "Mul")}
    for operand, product in products.items():
        centered, mean = graph.producer(operand, "Sub"), graph.producer(operand, "ReduceMean")
        if centered is not None and graph.producer(centered.input(1), "ReduceMean") is not None:
            if (biased := _then(graph, product, "Add")) is not None:
                return LayerNorm(centered.input(0), biased[1], scale, _flat(biased[0]), epsilon, node)
        elif mean is not None and mean.input(0) in products:
            for shift in graph.consumers(product, "Sub"):
                bias = graph.constant(shift.input(0))
                for total in graph.consumers(products[mean.input(0)], "Add"):
                    if bias is not None and shift.output in total.inputs:
                        return LayerNorm(mean.input(0), total.output, _flat(scale), _flat(bias), epsilon, node)
    return None


def _inverse_root(graph: Graph, node: Node) -> str | None:
    """Return the tensor whose inverse square root a node computes, or None."""
    operand = graph.constant_operand(node)
    inner = graph.producer(node.input(0), "Sqrt", "Reciprocal")
    if node.op_type in ("Reciprocal", "Sqrt") and inner is not None and inner.op_type != node.op_type:
        return inner.input(0)
    if operand is None or operand[0].value.size != 1:
        return None
    number, root = float(operand[0].value.reshape(())), graph.producer(node.input(1), "Sqrt")
    if node.op_type == "Div" and number == 1 and root is not None:
        return root.input(0)
    return node.input(0) if node.op_type == "Pow" and number == -0.5 else None


def _epsilon_in(graph: Graph, variance: str) -> float | None:
    total = graph.producer(variance, "Add")
    operand = graph.constant_operand(total) if total is not None else None
    if operand is None or operand[0].value.size != 1:
        return None
    return _epsilon(operand[0].value.reshape(()))


def _scaled(graph: Graph, x: str, normalized: str, epsilon: float, node: str) -> LayerNorm | None:
    scaled = _then(graph, normalized, "Mul")
    biased = _then(graph, scaled[1], "Add") if scaled is not None else None
    if scaled is None or biased is None:
        return None
    return LayerNorm(x, biased[1], _flat(scaled[0]), _flat(biased[0]), epsilon, node)


def _then(graph: Graph, name: str, op_type: str) -> tuple[Constant, str] | None:
    for node in graph.consumers(name, op_type):
        if (operand := graph.constant_operand(node)) is not None:
            return operand[0], node.output
    return None


def _other(node: Node, name: str) -> str:
    return node.input(1) if node.input(0) == name else node.input(0)


def _flat(constant: Constant) -> Constant:
    value = constant.value
    return constant if value.ndim == 1 else constant.then("Reshape", value.reshape(-1))


def _epsilon(value: np.generic | NDArray[Any]) -> float:
    if value.dtype.itemsize == 2 and float(value) < _FLOAT16_EPSILON_LIMIT:
        return _BERT_EPSILON
    # The shortest decimal that gives the same float32: 1e-12, not 9.999999960041972e-13.
    return float(str(value.astype(np.float32)))
