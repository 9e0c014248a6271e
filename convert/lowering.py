"""An ONNX graph in plain operators: what is fused, quantised or only a new name becomes what it stands for.

The rest of the converter then knows MatMul, Add, LayerNormalization, Attention and so on only. The definitions are
those of onnx's Operators.md and onnxruntime's ContribOperators.md.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from convert import constants, dequantize
from convert.constants import is_float
from convert.graph import Constant, Graph, Node
from minilm_jax.errors import ConversionError

# What constants and settings that do not fit each other make of it.
_NUMPYS_ERRORS = (ValueError, TypeError, IndexError, KeyError, OverflowError)

Lower = Callable[[Graph, Node], None]


def plain_graph(model: onnx.ModelProto) -> Graph:
    """Reads the graph of a model.

    Args:
        model: A checked model, see `convert.onnx_file`.

    Returns:
        Its graph, in plain operators.

    Raises:
        ConversionError: An operator is unknown or damaged, or the nodes are not in the order of computation.
    """
    graph = Graph(model)
    # What is not finite in the end is refused where it is taken as a weight.
    with np.errstate(all="ignore"):
        for proto in model.graph.node:
            node = graph.resolved(Node.of(proto))
            try:
                _lower(graph, node, proto.domain)
            except _NUMPYS_ERRORS as error:
                raise ConversionError(f"{node} cannot be computed: {error!s:.200}.") from None
    return graph


def _lower(graph: Graph, node: Node, domain: str) -> None:
    if (folded := constants.fold(graph, node)) is not None:
        graph.add_constant(node.output, folded, node)
    elif node.op_type in _LOWERED:
        _LOWERED[node.op_type](graph, node)
    elif domain == "com.microsoft" and node.op_type not in _PLAIN_BUT_FOREIGN:
        raise ConversionError(f"{node} is an operator of com.microsoft's that no BERT encoder is known to need.")
    else:
        graph.add(node)


def _rename(graph: Graph, node: Node) -> None:
    graph.rename(node.output, node.input(0), node)
    graph.add(Node("Unused", (), node.outputs[1:]))


def _dynamic_quantize(graph: Graph, node: Node) -> None:
    # The quantised tensor stands for the tensor itself; what the scale is used for is undone where it is used.
    graph.rename(node.output, node.input(0), node)
    graph.add(Node("DynamicScale", node.inputs, tuple(node.outputs[1:]), name=node.name))


def _dequantize_linear(graph: Graph, node: Node) -> None:
    graph.rename(node.output, _float_operand(graph, node, 0), node)


def _float_operand(graph: Graph, node: Node, index: int) -> str:
    """Returns the name of a quantised tensor's float form; its scale and zero point are the inputs after it.

    What is computed was never quantised here, so that only constants and rows of constant tables are dequantised.
    """
    name = node.input(index)
    gather = graph.producer(name, "Gather")
    stored = graph.constant(name if gather is None else gather.input(0))
    if stored is None or is_float(stored.value):
        return name
    number = _derive(graph, node, f"operand{index}", _dequantized(graph, node, stored, index + 1, index + 2))
    if gather is None:
        return number
    graph.add(Node("Gather", (number, gather.input(1)), (f"{number}/rows",), name=gather.name))
    return f"{number}/rows"


def _mul(graph: Graph, node: Node) -> None:
    # MatMulInteger(x, y) · (scale of x · scale of y) is how onnxruntime writes a dynamically quantised product.
    for mine, other in ((0, 1), (1, 0)):
        product = graph.producer(node.input(mine), "MatMulInteger")
        scales = graph.producer(node.input(other), "Mul")
        if product is None or scales is None:
            continue
        node = dataclasses.replace(node, name=product.label)
        weight_scale = graph.constant_operand(scales)
        if weight_scale is None:  # Both are computed.
            return graph.add(Node("MatMul", product.inputs[:2], node.outputs, name=node.name))
        kernel = _dequantized_by(graph, product, product.input(1), weight_scale[0], product.input(3))
        return _dense(graph, node, product.input(0), kernel)
    return graph.add(node)


def _matmul_integer_to_float(graph: Graph, node: Node) -> None:
    scale = _wanted(graph, node, 3)
    kernel = _dequantized_by(graph, node, node.input(1), scale, node.input(5))
    _dense(graph, node, node.input(0), kernel, bias=node.input(6))


def _dynamic_quantize_matmul(graph: Graph, node: Node) -> None:
    kernel = _dequantized(graph, node, _wanted(graph, node, 1), 2, 3)
    _dense(graph, node, node.input(0), kernel, bias=node.input(4))


def _quantized_operands(graph: Graph, node: Node) -> None:
    # QLinearAdd, QLinearMul and QLinearMatMul take either operand with its scale and zero point.
    operands = (_float_operand(graph, node, 0), _float_operand(graph, node, 3))
    graph.add(Node(node.op_type.removeprefix("QLinear"), operands, node.outputs[:1], name=node.name))


def _quantized_softmax(graph: Graph, node: Node) -> None:
    graph.add(Node("Softmax", node.inputs[:1], node.outputs[:1], name=node.name))


def _fused_gemm(graph: Graph, node: Node) -> None:
    product, activation = f"{node.output}/product", node.attribute("activation", b"").decode(errors="replace")
    graph.add(Node("Gemm", node.inputs, (product,), node.attributes, node.name))
    graph.add(Node(activation, (product,), node.outputs, name=node.name))


def _matmul_n_bits(graph: Graph, node: Node) -> None:
    if node.input(4):
        raise ConversionError(f"{node} has reordered columns (g_idx), which is not supported.")
    weight, bits = _wanted(graph, node, 1), node.attribute("bits", 4)
    zero_point = graph.constant(node.input(3))
    value = dequantize.n_bits(
        weight.value,
        _wanted(graph, node, 2).value,
        zero_point.value if zero_point is not None else None,
        rows=node.attribute("N", 0),
        columns=node.attribute("K", 0),
        bits=bits,
        block_size=node.attribute("block_size", 0),
    )
    kernel = Constant(value, weight.source, (*weight.undone, "dequantised"), f"{bits}-bit blocks")
    _dense(graph, node, node.input(0), kernel, bias=node.input(5))


def _matmul_bnb4(graph: Graph, node: Node) -> None:
    weight = _wanted(graph, node, 1)
    value = dequantize.bnb4(
        weight.value,
        _wanted(graph, node, 2).value,
        rows=node.attribute("N", 0),
        columns=node.attribute("K", 0),
        block_size=node.attribute("block_size", 0),
        quant_type=node.attribute("quant_type", -1),
    )
    kernel = Constant(value, weight.source, (*weight.undone, "dequantised"), "4-bit floats")
    _dense(graph, node, node.input(0), kernel)


def _gather_block_quantized(graph: Graph, node: Node) -> None:
    table, zero_point = _wanted(graph, node, 0), graph.constant(node.input(3))
    if node.attribute("gather_axis", 0) != 0 or node.attribute("quantize_axis", 1) not in (1, -1):
        raise ConversionError(f"{node} looks up or scales along another axis than a table's.")
    value = dequantize.rows_in_blocks(
        table.value,
        _wanted(graph, node, 2).value,
        zero_point.value if zero_point is not None else None,
        bits=node.attribute("bits", 4),
        block_size=node.attribute("block_size", 128),
    )
    _gather(graph, node, Constant(value, table.source, (*table.undone, "dequantised"), table.stored), node.input(1))


def _fused_matmul(graph: Graph, node: Node) -> None:
    kernel, alpha = graph.constant(node.input(1)), node.attribute("alpha", 1.0)
    product = f"{node.output}/product" if alpha != 1 else node.output
    inputs = node.inputs[:2]
    if kernel is not None and kernel.value.ndim == 2:
        if node.attribute("transA", 0):
            raise ConversionError(f"{node} transposes what it multiplies with a weight; no dense layer does.")
        if node.attribute("transB", 0):
            inputs = (inputs[0], _derive(graph, node, "transposed", kernel.then("transB", kernel.value.T)))
    graph.add(Node("MatMul", inputs, (product,), name=node.name))
    if alpha != 1:
        scale = _derive(graph, node, "alpha", Constant(np.array(alpha, np.float32), "alpha"))
        graph.add(Node("Mul", (product, scale), (node.output,), name=node.name))


def _bias_gelu(graph: Graph, node: Node) -> None:
    # Gelu, BiasGelu (exact, by erf) and FastGelu (by tanh), the last one with or without a bias.
    moved = _plus_bias(graph, node, node.input(0), node.input(1))
    approximate = b"tanh" if node.op_type == "FastGelu" else b"none"
    graph.add(Node("Gelu", (moved,), node.outputs, {"approximate": approximate}, node.name))


def _bias_softmax(graph: Graph, node: Node) -> None:
    masked = f"{node.output}/masked"
    graph.add(Node("Add", node.inputs[:2], (masked,), name=node.name))
    graph.add(Node("Softmax", (masked,), node.outputs, name=node.name))


def _skip_layer_norm(graph: Graph, node: Node) -> None:
    # The bias is that of the dense layer before, which may stand in either place.
    first, second = node.input(0), node.input(1)
    if graph.producer(first, "MatMul") is None:
        first, second = second, first
    moved = _plus_bias(graph, node, first, node.input(4))
    total = (node.outputs[3:] or ("",))[0] or f"{node.output}/sum"
    graph.add(Node("Add", (moved, second), (total,), name=node.name))
    epsilon = {"epsilon": node.attribute("epsilon", 1e-12)}
    graph.add(Node("LayerNormalization", (total, node.input(2), node.input(3)), node.outputs[:1], epsilon, node.name))


def _embed_layer_norm(graph: Graph, node: Node) -> None:
    words, types = graph.constant(node.input(2)), graph.constant(node.input(4))
    positions = graph.constant(node.input(3))
    tables = [(words, node.input(0)), (positions, node.input(8)), (types, node.input(1))]
    _embeddings(graph, node, tables, graph.constant(node.input(5)), graph.constant(node.input(6)))


def _quantized_embed_layer_norm(graph: Graph, node: Node) -> None:
    def weight(index: int) -> Constant:
        # Inputs 2 to 6 are the weights, 8 to 12 their scales and 13 to 17 their zero points.
        return _dequantized(graph, node, _wanted(graph, node, index), index + 6, index + 11)

    types = weight(4) if node.input(4) else None
    tables = [(weight(2), node.input(0)), (weight(3), ""), (types, node.input(1))]
    _embeddings(graph, node, tables, weight(5), weight(6))


def _embeddings(
    graph: Graph, node: Node, tables: list[tuple[Constant | None, str]], scale: Constant | None, bias: Constant | None
) -> None:
    total = ""
    for index, (table, ids) in enumerate(tables):
        if table is None:
            continue
        name = _derive(graph, node, f"table{index}", table)
        rows = f"{node.output}/rows{index}"
        graph.add(Node("Gather" if ids else "Slice", (name, ids), (rows,), name=node.name))
        if total:
            graph.add(Node("Add", (total, rows), (f"{node.output}/sum{index}",), name=node.name))
        total = f"{node.output}/sum{index}" if total else rows
    if scale is None or bias is None:
        raise ConversionError(f"{node} has no constant scale and bias.")
    inputs = (total, _derive(graph, node, "scale", scale), _derive(graph, node, "bias", bias))
    epsilon = {"epsilon": node.attribute("epsilon", 1e-12)}
    graph.add(Node("LayerNormalization", inputs, node.outputs[:1], epsilon, node.name))
    graph.add(Node("Unused", (), node.outputs[1:]))


def _attention(graph: Graph, node: Node) -> None:
    """com.microsoft's Attention multiplies with the kernels of query, key and value side by side in one matrix."""
    kernel = graph.constant(node.input(1))
    if kernel is None:
        return graph.add(node)  # ONNX's own, since opset 23, takes what has been multiplied already.
    return _packed_attention(graph, node, kernel, graph.constant(node.input(2)))


def _quantized_attention(graph: Graph, node: Node) -> None:
    kernel = _dequantized(graph, node, _wanted(graph, node, 1), 4, 7)
    _packed_attention(graph, node, kernel, graph.constant(node.input(2)))


def _packed_attention(graph: Graph, node: Node, kernel: Constant, bias: Constant | None) -> None:
    _refuse_unless_bert(node)
    if "qkv_hidden_sizes" in node.attributes:
        raise ConversionError(f"{node}: query, key and value are not of one width.")
    _add_attention(graph, node, _thirds(graph, node, node.input(0), kernel, bias))


def _split(graph: Graph, node: Node) -> None:
    # A dense layer that makes query, key and value side by side.
    moved = graph.producer(node.input(0), "Add")
    operand = graph.constant_operand(moved) if moved is not None else None
    bias, product_name = operand or (None, node.input(0))
    product = graph.producer(product_name, "MatMul")
    kernel = graph.constant(product.input(1)) if product is not None else None
    if product is None or kernel is None or len(node.outputs) != 3:
        return graph.add(node)
    for output, part in zip(node.outputs, _thirds(graph, node, product.input(0), kernel, bias), strict=True):
        graph.rename(output, part, node)
    return None


def _thirds(graph: Graph, node: Node, x: str, kernel: Constant, bias: Constant | None) -> list[str]:
    """Adds the dense layers of query, key and value, whose weights lie side by side; returns what they make."""
    width = kernel.value.shape[-1] // 3 if kernel.value.ndim == 2 else 0
    if not width or kernel.value.shape[1] != 3 * width:
        raise ConversionError(f"{node}: {kernel.source!r} does not hold query, key and value side by side.")
    made = []
    for index, part in enumerate(("query", "key", "value")):
        columns = slice(index * width, (index + 1) * width)
        own = kernel.then(f"columns {columns.start}:{columns.stop}", kernel.value[:, columns])
        product = f"{node.output}/{part}"
        graph.add(Node("MatMul", (x, _derive(graph, node, f"{part} kernel", own)), (product,), name=node.name))
        made.append(_plus_part_of_bias(graph, node, product, bias, columns, part))
    return made


def _multi_head_attention(graph: Graph, node: Node) -> None:
    _refuse_unless_bert(node)
    if not node.input(1) or not node.input(2):
        raise ConversionError(f"{node} takes query, key and value packed in one tensor, which is not supported.")
    bias = graph.constant(node.input(3))
    width = bias.value.size // 3 if bias is not None else 0
    parts = [
        _plus_part_of_bias(graph, node, tensor, bias, slice(i * width, (i + 1) * width), part)
        for i, (tensor, part) in enumerate(zip(node.inputs[:3], ("query", "key", "value"), strict=False))
    ]
    _add_attention(graph, node, parts)


def _refuse_unless_bert(node: Node) -> None:
    for name in ("unidirectional", "do_rotary"):
        if node.attribute(name, 0):
            raise ConversionError(f"{node} is {name}; a BERT encoder's attention is not.")


def _plus_part_of_bias(graph: Graph, node: Node, x: str, bias: Constant | None, columns: slice, part: str) -> str:
    if bias is None:
        return x
    own = bias.then(f"columns {columns.start}:{columns.stop}", bias.value.reshape(-1)[columns])
    moved = f"{node.output}/{part} with bias"
    graph.add(Node("Add", (x, _derive(graph, node, f"{part} bias", own)), (moved,), {}, node.name))
    return moved


def _add_attention(graph: Graph, node: Node, parts: list[str]) -> None:
    attributes: dict[str, Any] = {"q_num_heads": node.attribute("num_heads", 0)}
    if scale := node.attribute("scale", 0.0):
        attributes["scale"] = scale
    graph.add(Node("Attention", tuple(parts), node.outputs[:1], attributes, node.name))


def _plus_bias(graph: Graph, node: Node, x: str, bias: str) -> str:
    if not bias:
        return x
    moved = f"{node.output}/with bias"
    graph.add(Node("Add", (x, bias), (moved,), name=node.name))
    return moved


def _dense(graph: Graph, node: Node, x: str, kernel: Constant, bias: str = "") -> None:
    product = f"{node.output}/product" if bias else node.output
    graph.add(Node("MatMul", (x, _derive(graph, node, "kernel", kernel)), (product,), name=node.name))
    if bias:
        graph.add(Node("Add", (product, bias), (node.output,), name=node.name))


def _gather(graph: Graph, node: Node, table: Constant, ids: str) -> None:
    graph.add(Node("Gather", (_derive(graph, node, "table", table), ids), node.outputs[:1], name=node.name))


def _dequantized(graph: Graph, node: Node, weight: Constant, scale: int, zero_point: int) -> Constant:
    return _dequantized_by(graph, node, weight, _wanted(graph, node, scale), node.input(zero_point))


def _dequantized_by(graph: Graph, node: Node, weight: str | Constant, scale: Constant, zero_point: str) -> Constant:
    stored = graph.constant(weight) if isinstance(weight, str) else weight
    if stored is None:
        raise ConversionError(f"{node} multiplies with a quantised weight that is not constant.")
    zero = graph.constant(zero_point)
    value = dequantize.linear(stored.value, scale.value, zero.value if zero is not None else None)
    return stored.then("dequantised", value)


def _derive(graph: Graph, node: Node, part: str, constant: Constant) -> str:
    name = f"{node.output}/{part}"
    graph.add_constant(name, constant, node)
    return name


def _wanted(graph: Graph, node: Node, index: int) -> Constant:
    constant = graph.constant(node.input(index))
    if constant is None:
        raise ConversionError(f"{node}: its input {index} is not constant.")
    return constant


_LOWERED: dict[str, Lower] = {
    "Identity": _rename,
    "Dropout": _rename,
    "Cast": _rename,
    "CastLike": _rename,
    "QuantizeLinear": _rename,
    "DequantizeLinear": _dequantize_linear,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Mul": _mul,
    "Split": _split,
    "MatMulIntegerToFloat": _matmul_integer_to_float,
    "DynamicQuantizeMatMul": _dynamic_quantize_matmul,
    "MatMulNBits": _matmul_n_bits,
    "MatMulBnb4": _matmul_bnb4,
    "GatherBlockQuantized": _gather_block_quantized,
    "QLinearAdd": _quantized_operands,
    "QLinearMul": _quantized_operands,
    "QLinearMatMul": _quantized_operands,
    "QLinearSoftmax": _quantized_softmax,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "BiasGelu": _bias_gelu,
    "FastGelu": _bias_gelu,
    "BiasSoftmax": _bias_softmax,
    "SkipLayerNormalization": _skip_layer_norm,
    "EmbedLayerNormalization": _embed_layer_norm,
    "QEmbedLayerNormalization": _quantized_embed_layer_norm,
    "Attention": _attention,
    "QAttention": _quantized_attention,
    "MultiHeadAttention": _multi_head_attention,
}
# Operators of com.microsoft's that mean what ONNX's own of the same name do.
_PLAIN_BUT_FOREIGN = ("Gelu", "Gather", "LayerNormalization")
