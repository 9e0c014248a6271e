"""Rewrite the fused operators of onnxruntime as plain operators (definitions: its ContribOperators.md)."""

import numpy as np

from convert.graph.constant import Columns, Constant
from convert.graph.graph import Graph, Lower
from convert.graph.node import Node
from convert.graph.plain_operators import (
    add_attention,
    check_attention,
    derive,
    embedding_sum,
    merged_attention,
    plus_bias,
    plus_part_of_bias,
    query_key_value,
)
from minilm_jax.errors import ConversionError


def _fused_gemm(graph: Graph, node: Node) -> None:
    product, activation = f"{node.output}/product", node.attribute("activation", b"").decode(errors="replace")
    if activation not in ("Tanh", "Relu", "Gelu", "Sigmoid"):
        raise ConversionError(f"{node} has the activation {activation!r:.40}; BERT's pooler uses Tanh.")
    graph.add(Node("Gemm", node.inputs, (product,), node.attributes, node.name))
    graph.add(Node(activation, (product,), node.outputs, name=node.name))


def _fused_matmul(graph: Graph, node: Node) -> None:
    kernel, alpha = graph.constant(node.input(1)), node.attribute("alpha", 1.0)
    scale = derive(graph, node, "alpha", Constant(np.array(alpha, np.float32), "alpha")) if alpha != 1 else None
    if kernel is None or kernel.value.ndim != 2:
        product = f"{node.output}/product" if scale else node.output
        graph.add(Node("MatMul", node.inputs[:2], (product,), name=node.name))
        if scale:
            graph.add(Node("Mul", (product, scale), (node.output,), name=node.name))
        return
    if node.attribute("transA", 0):
        raise ConversionError(f"{node} transposes the input of a dense layer, which BERT does not do.")
    x, weight = node.inputs[:2]
    if node.attribute("transB", 0):
        weight = derive(graph, node, "transposed", kernel.then("transB", kernel.value.T))
    # onnxruntime moves a factor from the preceding operation to this one, such as the 0.5 of GELU.
    if scale:
        graph.add(Node("Mul", (x, scale), (f"{node.output}/scaled",), name=node.name))
        x = f"{node.output}/scaled"
    graph.add(Node("MatMul", (x, weight), (node.output,), name=node.name))


def _bias_gelu(graph: Graph, node: Node) -> None:
    # BiasGelu is exact (erf). FastGelu approximates GELU by tanh, and its bias is optional.
    biased = plus_bias(graph, node, node.input(0), node.input(1))
    approximate = b"tanh" if node.op_type == "FastGelu" else b"none"
    graph.add(Node("Gelu", (biased,), node.outputs, {"approximate": approximate}, node.name))


def _bias_softmax(graph: Graph, node: Node) -> None:
    masked = f"{node.output}/masked"
    graph.add(Node("Add", node.inputs[:2], (masked,), name=node.name))
    graph.add(Node("Softmax", (masked,), node.outputs, name=node.name))


def _skip_layer_norm(graph: Graph, node: Node) -> None:
    # The bias belongs to the preceding dense layer, which may be either input.
    first, second = node.input(0), node.input(1)
    if graph.producer(first, "MatMul") is None:
        first, second = second, first
    biased = plus_bias(graph, node, first, node.input(4))
    total = (node.outputs[3:] or ("",))[0] or f"{node.output}/sum"
    graph.add(Node("Add", (biased, second), (total,), name=node.name))
    epsilon = {"epsilon": node.attribute("epsilon", 1e-12)}
    graph.add(Node("LayerNormalization", (total, node.input(2), node.input(3)), node.outputs[:1], epsilon, node.name))


def _embed_layer_norm(graph: Graph, node: Node) -> None:
    words, types = graph.constant(node.input(2)), graph.constant(node.input(4))
    positions = graph.constant(node.input(3))
    tables = [(words, node.input(0)), (positions, node.input(8)), (types, node.input(1))]
    embedding_sum(graph, node, tables, graph.constant(node.input(5)), graph.constant(node.input(6)))


def _attention(graph: Graph, node: Node) -> None:
    """Rewrite com.microsoft.Attention, whose kernel holds those of query, key and value side by side."""
    kernel = graph.constant(node.input(1))
    if kernel is None:
        # The Attention of ONNX (opset 23) takes query, key and value as separate inputs.
        return graph.add(node)
    return merged_attention(graph, node, kernel, graph.constant(node.input(2)), added=node.input(5))


def _split(graph: Graph, node: Node) -> None:
    # One dense layer may compute query, key and value side by side.
    add = graph.producer(node.input(0), "Add")
    operand = graph.constant_operand(add) if add is not None else None
    bias, product_name = operand or (None, node.input(0))
    product = graph.producer(product_name, "MatMul")
    kernel = graph.constant(product.input(1)) if product is not None else None
    if product is None or kernel is None or len(node.outputs) != 3:
        return graph.add(node)
    for output, part in zip(node.outputs, query_key_value(graph, node, product.input(0), kernel, bias), strict=True):
        graph.rename(output, part, node)
    return None


def _multi_head_attention(graph: Graph, node: Node) -> None:
    check_attention(node)
    if not node.input(1) or not node.input(2):
        raise ConversionError(f"{node} takes query, key and value in one tensor, which is not supported.")
    bias = graph.constant(node.input(3))
    width = bias.value.size // 3 if bias is not None else 0
    parts = [
        plus_part_of_bias(graph, node, tensor, bias, Columns(i * width, (i + 1) * width), part)
        for i, (tensor, part) in enumerate(zip(node.inputs[:3], ("query", "key", "value"), strict=False))
    ]
    add_attention(graph, node, parts, added=node.input(5))


FUSED: dict[str, Lower] = {
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "BiasGelu": _bias_gelu,
    "FastGelu": _bias_gelu,
    "BiasSoftmax": _bias_softmax,
    "SkipLayerNormalization": _skip_layer_norm,
    "EmbedLayerNormalization": _embed_layer_norm,
    "Attention": _attention,
    "MultiHeadAttention": _multi_head_attention,
    "Split": _split,
}
