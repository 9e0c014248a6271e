"""Dequantize the weights of an ONNX file with the operators of onnxruntime, as a reference for the converter."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.graph.constant import Columns, Constant

_PRODUCTS = ("MatMulNBits", "MatMulBnb4")
# The inputs with the scale and the zero point of the quantized weight, by operator.
_SCALES = {
    "DynamicQuantizeMatMul": (2, 3),
    "MatMulIntegerToFloat": (3, 5),
    "QAttention": (4, 7),
    "QLinearMatMul": (4, 5),
}
_OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]

Array = NDArray[Any]


class QuantizedFile:
    """An ONNX file, with its constants and operations by name."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].type == onnx.AttributeProto.TENSOR:
                self.constants[node.output[0]] = node.attribute[0].t
        self.nodes = {node.name or node.output[0]: node for node in model.graph.node}
        self.users = {
            name: (node, index)
            for node in model.graph.node
            for index, name in enumerate(node.input)
            if (node.op_type == "DequantizeLinear" and index == 0)
            or (node.op_type.startswith("QLinear") and index in (0, 3))
        }
        self.products = {node.input[1]: node for node in model.graph.node if node.op_type == "MatMulInteger"}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.takers = {name: node for node in model.graph.node for name in node.input}
        self.rows = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "Gather"}

    def weight(self, weight: Constant) -> Array:
        """Return the dequantized values of a weight."""
        if (cast := self.takers[weight.source]).op_type == "Cast":
            return self.multiplied(weight.source, cast)
        node = self.nodes.get(weight.node)
        if node is not None and node.op_type in _PRODUCTS:
            columns = next(attribute.i for attribute in node.attribute if attribute.name == "K")
            return self.run(node, [np.eye(columns, dtype=np.float32), *self.inputs(node.input)[1:]])
        if node is not None and node.op_type == "GatherBlockQuantized":
            table, _, *rest = self.inputs(node.input)
            assert table is not None
            return self.run(node, [table, np.arange(table.shape[0]), *rest])
        return self.rearranged(self.dequantize_linear(weight), weight)

    def multiplied(self, source: str, cast: onnx.NodeProto) -> Array:
        """Return integers that are cast to float and multiplied by their scales."""
        scale = next(name for name in self.takers[cast.output[0]].input if name != cast.output[0])
        values, scales = (numpy_helper.to_array(self.constants[name]) for name in (source, scale))
        return values.astype(np.float32) * scales

    def dequantize_linear(self, weight: Constant) -> Array:
        own, source = self.nodes.get(weight.node), weight.source
        if own is not None and own.op_type in _SCALES and source in own.input:
            user, names = own, [source, *(own.input[index] for index in _SCALES[own.op_type])]
        elif own is not None and own.op_type == "MatMulInteger":
            user, names = own, [source, self.scale_after(own), own.input[3]]
        elif own is not None and own.op_type == "QEmbedLayerNormalization":
            index = list(own.input).index(source)
            user, names = own, [source, own.input[index + 6], own.input[index + 11]]
        else:
            user, index = self.users.get(source) or self.users[self.rows[source]]
            names = [source, *user.input[index + 1 : index + 3]]
        if user.op_type == "DequantizeLinear" and user.input[0] == source:
            return self.run(user, self.inputs(names))
        node = helper.make_node("DequantizeLinear", names, ["y"], axis=len(self.constants[source].dims) - 1)
        return self.run(node, self.inputs(names))

    def scale_after(self, product: onnx.NodeProto) -> str:
        # The integer product is cast, then multiplied by (scale of the activations · scale of the weight).
        cast = self.takers[product.output[0]]
        scaled = self.takers[cast.output[0]]
        scales = next(name for name in scaled.input if name != cast.output[0])
        return next(name for name in self.makers[scales].input if name in self.constants)

    def rearranged(self, merged: Array, weight: Constant) -> Array:
        for operation in weight.undone:
            if isinstance(operation, Columns):
                merged = merged[..., slice(*operation)]
            elif operation == "Transpose":
                merged = merged.T
        return merged

    def inputs(self, names: Iterable[str]) -> list[Array | None]:
        return [numpy_helper.to_array(self.constants[name]) if name in self.constants else None for name in names]

    def run(self, node: onnx.NodeProto, inputs: list[Array | None]) -> Array:
        """Run a single operation in float32 and return its output."""
        names = [f"x{index}" if array is not None else "" for index, array in enumerate(inputs)]
        tensors = [
            numpy_helper.from_array(array.astype(np.float32) if array.dtype == np.float16 else array, name)
            for name, array in zip(names, inputs, strict=True)
            if array is not None
        ]
        alone = helper.make_node(node.op_type, names, ["y"], domain=node.domain)
        alone.attribute.extend(a for a in node.attribute if a.name not in ("accuracy_level", "output_dtype"))
        output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph([alone], "one", [], [output], tensors)
        model = helper.make_model(graph, opset_imports=_OPSETS, ir_version=10)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {})[0])
