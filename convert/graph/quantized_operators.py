"""Rewrite operators on quantized tensors as operators on floats.

Activations are not quantized: a quantized activation is treated as another name of the float activation.
"""

import dataclasses
from typing import Any

from numpy.typing import NDArray

from convert.graph import dequantize
from convert.graph.constant import Constant, is_float
from convert.graph.graph import Graph, Lower
from convert.graph.node import Node
from convert.graph.plain_operators import constant_input, dense, derive, embedding_sum, gather, merged_attention, rename
from minilm_jax.errors import ConversionError


def _dynamic_quantize(graph: Graph, node: Node) -> None:
    # The quantized tensor becomes another name of its input; the operators that use the scale are rewritten later.
    graph.rename(node.output, node.input(0), node)
    graph.add(Node("DynamicScale", node.inputs, tuple(node.outputs[1:]), name=node.name))


def _dequantize_linear(graph: Graph, node: Node) -> None:
    graph.rename(node.output, _float_operand(graph, node, 0), node)


def _float_operand(graph: Graph, node: Node, index: int) -> str:
    """Return the name of an operand in float; its scale and zero point are the next two inputs.

    Only constants and rows of constant tables are dequantized, because activations are never quantized here.
    """
    name = node.input(index)
    gather = graph.producer(name, "Gather")
    stored = graph.constant(name if gather is None else gather.input(0))
    if stored is None or is_float(stored.value):
        return name
    dequantized = derive(graph, node, f"operand{index}", _dequantized(graph, node, stored, index + 1, index + 2))
    if gather is None:
        return dequantized
    graph.add(Node("Gather", (dequantized, gather.input(1)), (f"{dequantized}/rows",), name=gather.name))
    return f"{dequantized}/rows"


def _mul(graph: Graph, node: Node) -> None:
    # onnxruntime writes a dynamically quantized product as MatMulInteger(x, y) · (scale of x · scale of y).
    for mine, other in ((0, 1), (1, 0)):
        product = graph.producer(node.input(mine), "MatMulInteger")
        scales = graph.producer(node.input(other), "Mul")
        if product is None or scales is None:
            continue
        node = dataclasses.replace(node, name=product.label)
        weight_scale = graph.constant_operand(scales)
        if weight_scale is None:  # Both operands are activations.
            return graph.add(Node("MatMul", product.inputs[:2], node.outputs, name=node.name))
        kernel = _dequantized_by(graph, product, product.input(1), weight_scale[0], product.input(3))
        return dense(graph, node, product.input(0), kernel)
    return graph.add(node)


def _matmul_integer_to_float(graph: Graph, node: Node) -> None:
    scale = constant_input(graph, node, 3)
    kernel = _dequantized_by(graph, node, node.input(1), scale, node.input(5))
    dense(graph, node, node.input(0), kernel, bias=node.input(6))


def _dynamic_quantize_matmul(graph: Graph, node: Node) -> None:
    kernel = _dequantized(graph, node, constant_input(graph, node, 1), 2, 3)
    dense(graph, node, node.input(0), kernel, bias=node.input(4))


def _quantized_operands(graph: Graph, node: Node) -> None:
    # In QLinearAdd, QLinearMul and QLinearMatMul a scale and a zero point follow each operand.
    operands = (_float_operand(graph, node, 0), _float_operand(graph, node, 3))
    graph.add(Node(node.op_type.removeprefix("QLinear"), operands, node.outputs[:1], name=node.name))


def _quantized_softmax(graph: Graph, node: Node) -> None:
    graph.add(Node("Softmax", node.inputs[:1], node.outputs[:1], name=node.name))


def _matmul_n_bits(graph: Graph, node: Node) -> None:
    if node.input(4):
        raise ConversionError(f"{node} has reordered columns (g_idx), which is not supported.")
    weight, bits = constant_input(graph, node, 1), node.attribute("bits", 4)
    scale, zero_point = constant_input(graph, node, 2).value, _value(graph, node.input(3))
    value = dequantize.n_bits(weight.value, scale, zero_point, bits=bits, **_sizes(node))
    kernel = dataclasses.replace(weight.then("dequantized", value), stored=f"{bits}-bit blocks")
    dense(graph, node, node.input(0), kernel, bias=node.input(5))


def _matmul_bnb4(graph: Graph, node: Node) -> None:
    weight, quant_type = constant_input(graph, node, 1), node.attribute("quant_type", -1)
    value = dequantize.bnb4(weight.value, constant_input(graph, node, 2).value, quant_type=quant_type, **_sizes(node))
    kernel = dataclasses.replace(weight.then("dequantized", value), stored="4-bit floats")
    dense(graph, node, node.input(0), kernel)


def _sizes(node: Node) -> dict[str, int]:
    return {
        "rows": node.attribute("N", 0),
        "columns": node.attribute("K", 0),
        "block_size": node.attribute("block_size", 0),
    }


def _gather_block_quantized(graph: Graph, node: Node) -> None:
    table = constant_input(graph, node, 0)
    if node.attribute("gather_axis", 0) != 0 or node.attribute("quantize_axis", 1) not in (1, -1):
        raise ConversionError(f"{node} does not look up rows of a table that is quantized along its rows.")
    value = dequantize.rows_in_blocks(
        table.value,
        constant_input(graph, node, 2).value,
        _value(graph, node.input(3)),
        bits=node.attribute("bits", 4),
        block_size=node.attribute("block_size", 128),
    )
    gather(graph, node, table.then("dequantized", value), node.input(1))


def _quantized_embed_layer_norm(graph: Graph, node: Node) -> None:
    def weight(index: int) -> Constant:
        # Inputs 2 to 6 are the weights, 8 to 12 their scales and 13 to 17 their zero points.
        return _dequantized(graph, node, constant_input(graph, node, index), index + 6, index + 11)

    types = weight(4) if node.input(4) else None
    tables = [(weight(2), node.input(0)), (weight(3), ""), (types, node.input(1))]
    embedding_sum(graph, node, tables, weight(5), weight(6))


def _quantized_attention(graph: Graph, node: Node) -> None:
    kernel = _dequantized(graph, node, constant_input(graph, node, 1), 4, 7)
    merged_attention(graph, node, kernel, graph.constant(node.input(2)))


def _dequantized(graph: Graph, node: Node, weight: Constant, scale: int, zero_point: int) -> Constant:
    return _dequantized_by(graph, node, weight, constant_input(graph, node, scale), node.input(zero_point))


def _dequantized_by(graph: Graph, node: Node, weight: str | Constant, scale: Constant, zero_point: str) -> Constant:
    stored = graph.constant(weight) if isinstance(weight, str) else weight
    if stored is None:
        raise ConversionError(f"{node} multiplies by a quantized weight that is not constant.")
    return stored.then("dequantized", dequantize.linear(stored.value, scale.value, _value(graph, zero_point)))


def _value(graph: Graph, name: str) -> NDArray[Any] | None:
    constant = graph.constant(name)
    return constant.value if constant is not None else None


QUANTIZED: dict[str, Lower] = {
    "QuantizeLinear": rename,
    "DequantizeLinear": _dequantize_linear,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Mul": _mul,
    "MatMulIntegerToFloat": _matmul_integer_to_float,
    "DynamicQuantizeMatMul": _dynamic_quantize_matmul,
    "MatMulNBits": _matmul_n_bits,
    "MatMulBnb4": _matmul_bnb4,
    "GatherBlockQuantized": _gather_block_quantized,
    "QLinearAdd": _quantized_operands,
    "QLinearMul": _quantized_operands,
    "QLinearMatMul": _quantized_operands,
    "QLinearSoftmax": _quantized_softmax,
    "QEmbedLayerNormalization": _quantized_embed_layer_norm,
    "QAttention": _quantized_attention,
}
