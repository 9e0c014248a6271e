"""Rewrite a model that rounds its activations to 8 or 16 bits as the float32 model with the same weights.

The rewritten graph runs on any CPU and shows whether a conversion is exact, which the roundings would hide. This module
works on the operators of the file and leaves all arithmetic on weights to the runtime, so that it has no code in
common with the conversion that it verifies.
"""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.reading.tensors import all_tensors, to_array

_HALF = {"bfloat16": onnx.TensorProto.BFLOAT16, "float16": onnx.TensorProto.FLOAT16}
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type")
# This attribute of MatMulNBits sets the precision of the activations; this value means float32.
_ACCURACY, _FLOAT32_LEVEL = "accuracy_level", 1

Nodes = Iterator[onnx.NodeProto]


def narrowest_float(model: onnx.ModelProto) -> str:
    """Return the least precise float type among the constants of a model: bfloat16, float16 or float32."""
    found = {tensor.data_type for tensor in all_tensors(model)}
    return next((name for name, data_type in _HALF.items() if data_type in found), "float32")


def exact_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model itself if it does not round activations, else a copy that does not."""
    if narrowest_float(model) == "float32" and not any(map(_rounds, model.graph.node)):
        return model
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    _widen(exact)
    nodes = list(_Rewriter(exact.graph).nodes())
    del exact.graph.node[:], exact.graph.value_info[:]
    exact.graph.node.extend(nodes)
    return exact


def _rounds(node: onnx.NodeProto) -> bool:
    return node.op_type in _REWRITES or any(attribute.name == _ACCURACY for attribute in node.attribute)


def _widen(model: onnx.ModelProto) -> None:
    for tensor in all_tensors(model):
        if tensor.data_type in _HALF.values():
            tensor.CopyFrom(numpy_helper.from_array(to_array(tensor).astype(np.float32), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == _ACCURACY:
                attribute.i = _FLOAT32_LEVEL
            elif attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALF.values():
                attribute.i = onnx.TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type in _HALF.values():
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


class _Rewriter:
    """One pass over the nodes of a graph in the order of computation."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constant = {tensor.name for tensor in graph.initializer}
        # These tensors are quantized in the file and are floats in the rewritten graph.
        self.floats: set[str] = set()

    def nodes(self) -> Nodes:
        for node in self.graph.node:
            if all(name in self.constant for name in node.input if name):
                self.constant.update(node.output)
                yield node
            elif node.op_type in _REWRITES:
                yield from _REWRITES[node.op_type](self, node)
            else:
                # Operators that only move elements also accept quantized tensors.
                if node.input and node.input[0] in self.floats:
                    self.floats.update(node.output)
                yield node

    def quantize(self, node: onnx.NodeProto) -> Nodes:
        self.floats.add(node.output[0])
        yield helper.make_node("Identity", node.input[:1], node.output[:1])

    def dequantize(self, node: onnx.NodeProto) -> Nodes:
        quantized = node.input[0] not in self.floats
        yield node if quantized else helper.make_node("Identity", node.input[:1], node.output[:1])

    def dynamic_quantize(self, node: onnx.NodeProto) -> Nodes:
        yield from self.quantize(node)
        yield helper.make_node("Constant", [], [node.output[1]], value_float=1.0)

    def matmul_integer(self, node: onnx.NodeProto) -> Nodes:
        yield from self.dense(node, scale="", zero_point=_input(node, 3), bias="")

    def matmul_integer_to_float(self, node: onnx.NodeProto) -> Nodes:
        yield from self.dense(node, scale=_input(node, 3), zero_point=_input(node, 5), bias=_input(node, 6))

    def dynamic_quantize_matmul(self, node: onnx.NodeProto) -> Nodes:
        yield from self.dense(node, scale=_input(node, 2), zero_point=_input(node, 3), bias=_input(node, 4))

    def dense(self, node: onnx.NodeProto, scale: str, zero_point: str, bias: str) -> Nodes:
        kernel = f"{node.output[0]}/kernel"
        product = f"{node.output[0]}/product" if bias else node.output[0]
        if node.input[1] in self.floats:
            yield helper.make_node("MatMul", node.input[:2], node.output)
            return
        yield from _dequantized(node.input[1], scale, zero_point, kernel)
        yield helper.make_node("MatMul", [node.input[0], kernel], [product])
        if bias:
            yield helper.make_node("Add", [product, bias], node.output)

    def attention(self, node: onnx.NodeProto) -> Nodes:
        kernel = f"{node.output[0]}/kernel"
        yield from _dequantized(node.input[1], _input(node, 4), _input(node, 7), kernel)
        plain = helper.make_node(
            "Attention", [node.input[0], kernel, node.input[2], _input(node, 5)], node.output[:1], domain=node.domain
        )
        plain.attribute.extend(node.attribute)
        yield plain

    def quantized_operands(self, node: onnx.NodeProto) -> Nodes:
        self.floats.add(node.output[0])
        operands = []
        for index in (0, 3):
            name = node.input[index]
            if name not in self.floats:
                name = f"{node.output[0]}/operand{index}"
                yield from _dequantized(node.input[index], node.input[index + 1], node.input[index + 2], name)
            operands.append(name)
        yield helper.make_node(node.op_type.removeprefix("QLinear"), operands, node.output)

    def softmax(self, node: onnx.NodeProto) -> Nodes:
        self.floats.add(node.output[0])
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
        yield helper.make_node("Softmax", node.input[:1], node.output, axis=axis)


def _dequantized(weight: str, scale: str, zero_point: str, output: str) -> Nodes:
    """Yield the nodes of (weight - zero_point) · scale; per-channel scales broadcast along the last axis."""
    values = f"{output}/values"
    yield helper.make_node("Cast", [weight], [values], to=onnx.TensorProto.FLOAT)
    if zero_point:
        yield helper.make_node("Cast", [zero_point], [f"{output}/zero"], to=onnx.TensorProto.FLOAT)
        yield helper.make_node("Sub", [values, f"{output}/zero"], [f"{output}/shifted"])
        values = f"{output}/shifted"
    scaling = helper.make_node("Mul", [values, scale], [output])
    yield scaling if scale else helper.make_node("Identity", [values], [output])


def _input(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if index < len(node.input) else ""


_REWRITES: dict[str, Callable[[_Rewriter, onnx.NodeProto], Nodes]] = {
    "QuantizeLinear": _Rewriter.quantize,
    "DequantizeLinear": _Rewriter.dequantize,
    "DynamicQuantizeLinear": _Rewriter.dynamic_quantize,
    "MatMulInteger": _Rewriter.matmul_integer,
    "MatMulIntegerToFloat": _Rewriter.matmul_integer_to_float,
    "DynamicQuantizeMatMul": _Rewriter.dynamic_quantize_matmul,
    "QAttention": _Rewriter.attention,
    "QLinearAdd": _Rewriter.quantized_operands,
    "QLinearMul": _Rewriter.quantized_operands,
    "QLinearMatMul": _Rewriter.quantized_operands,
    "QLinearSoftmax": _Rewriter.softmax,
}
