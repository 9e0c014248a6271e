"""Build the graph of a BERT from TensorFlow node by node, in the forms that tf2onnx writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import tiny
from onnx import NodeProto, TensorProto, helper, numpy_helper

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Builder:
    """A graph under construction, with the weights of `tiny.bert`.

    Attributes:
        weights: The weights by their names in PyTorch.
        nodes: The nodes so far.
        tensors: The initializers so far, by name.
    """

    def __init__(self, opset: int) -> None:
        """Start a graph without nodes."""
        self.opset = opset
        self.weights: Mapping[str, np.ndarray] = tiny.weights("bert")
        self.nodes: list[NodeProto] = []
        self.tensors: dict[str, np.ndarray] = {}

    def add(self, op: str, *inputs: str | np.ndarray | float, **attributes: Any) -> str:
        """Append a node; arrays and numbers become initializers. Returns the name of its output."""
        output = f"bert/{op.lower()}_{len(self.nodes)}:0"
        self.nodes.append(helper.make_node(op, [self.named(value) for value in inputs], [output], **attributes))
        return output

    def named(self, value: str | np.ndarray | float) -> str:
        """Return the name of a tensor, or of a new initializer."""
        if isinstance(value, str):
            return value
        name = f"const_{len(self.tensors)}"
        self.tensors[name] = np.asarray(value, None if isinstance(value, np.ndarray) else np.float32)
        return name

    def unsqueezed(self, x: str, axis: int) -> str:
        """Add an axis; up to opset 12 it is an attribute."""
        axes = np.array([axis])
        return self.add("Unsqueeze", x, axes) if self.opset > 12 else self.add("Unsqueeze", x, axes=[axis])

    def layer_norm(self, x: str, path: str, *, power: bool) -> str:
        """Normalize as `tf.nn.batch_normalization` does: x · k + (beta - mean · k)."""
        mean = self.add("ReduceMean", x, axes=[-1], keepdims=1)
        centered = self.add("Sub", x, mean)
        variance = self.add("ReduceMean", self.add("Mul", centered, centered), axes=[-1], keepdims=1)
        shifted = self.add("Add", variance, 1e-12)
        root = self.add("Pow", shifted, -0.5) if power else self.add("Reciprocal", self.add("Sqrt", shifted))
        factor = self.add("Mul", root, self.weights[f"{path}.weight"])
        shift = self.add("Sub", self.weights[f"{path}.bias"], self.add("Mul", mean, factor))
        return self.add("Add", self.add("Mul", x, factor), shift)

    def gelu(self, x: str) -> str:
        """Compute the exact GELU as Keras does."""
        erf = self.add("Erf", self.add("Div", x, 2**0.5))
        return self.add("Mul", self.add("Mul", x, 0.5), self.add("Add", erf, 1.0))

    def size(self, x: str, axis: int) -> str:
        """Return the size of an axis of a tensor, as int64[1]."""
        return self.add("Slice", self.add("Shape", x), np.array([axis]), np.array([axis + 1]), np.array([0]))

    def model(self, outputs: Mapping[str, list[str | int]]) -> onnx.ModelProto:
        """Return the model with some of its tensors as outputs."""
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, ["unk__0", "unk__1"]) for name in INPUTS]
        graph = helper.make_graph(
            self.nodes,
            "tf2onnx",
            inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in self.tensors.items()],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=7, producer_name="tf2onnx")


class Keras(Builder):
    """BERT of transformers for TensorFlow: dense layers by tensordot, with 3-D activations."""

    power = False

    def run(self) -> onnx.ModelProto:
        """Return the graph."""
        x = self.layer_norm(self.embeddings(), "embeddings.LayerNorm", power=self.power)
        mask = self.add("Sub", 1.0, self.add("Cast", self.mask(), to=TensorProto.FLOAT))
        bias = self.add("Mul", mask, -10000.0)
        for index in range(tiny.BERT["num_hidden_layers"]):
            x = self.layer(x, f"encoder.layer.{index}", bias)
        self.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
        return self.model({"last_hidden_state": ["unk__0", "unk__1", tiny.BERT["hidden_size"]]})

    def mask(self) -> str:
        """Return the mask as [B, 1, 1, T]."""
        return self.unsqueezed(self.unsqueezed("attention_mask", 1), 2)

    def embeddings(self) -> str:
        """Return the sum of the embeddings."""
        table = "embeddings.{}_embeddings.weight"
        length = self.add("Squeeze", self.size("input_ids", 1), np.array([0]))
        places = self.unsqueezed(self.add("Range", np.array(0), length, np.array(1)), 0)
        words = self.add("Gather", self.weights[table.format("word")], "input_ids")
        positions = self.add("Gather", self.weights[table.format("position")], places)
        types = self.add("Gather", self.weights[table.format("token_type")], "token_type_ids")
        return self.add("Add", self.add("Add", words, positions), types)

    def layer(self, x: str, path: str, bias: str) -> str:
        """Return the output of a layer."""
        query, key, value = (self.heads(x, f"{path}.attention.self.{name}") for name in ("query", "key", "value"))
        scores = self.add("Div", self.scores(query, key), 8**0.5)
        weights = self.add("Softmax", self.add("Add", scores, bias), axis=-1)
        attended = self.joined(weights, value, f"{path}.attention.output.dense", x)
        x = self.layer_norm(self.add("Add", attended, x), f"{path}.attention.output.LayerNorm", power=self.power)
        wide = self.gelu(self.dense(x, f"{path}.intermediate.dense"))
        narrow = self.dense(wide, f"{path}.output.dense")
        return self.layer_norm(self.add("Add", narrow, x), f"{path}.output.LayerNorm", power=self.power)

    def kernel(self, path: str) -> np.ndarray:
        """Return a kernel as TensorFlow stores it, [in, out]."""
        return self.weights[f"{path}.weight"].T

    def dense(self, x: str, path: str) -> str:
        """Return a dense layer, as `tf.tensordot` computes it."""
        kernel = self.kernel(path)
        flat = self.add("Reshape", x, np.array([-1, kernel.shape[0]]))
        product = self.add("MatMul", flat, kernel)
        width = np.array([kernel.shape[1]])
        shape = self.add("Concat", self.size(x, 0), self.size(x, 1), width, axis=0)
        return self.add("Add", self.add("Reshape", product, shape), self.weights[f"{path}.bias"])

    def heads(self, x: str, path: str) -> str:
        """Return a dense layer split into heads, [B, N, T, H]."""
        shape = self.add("Concat", self.size(x, 0), np.array([-1, 4, 8]), axis=0)
        return self.add("Transpose", self.add("Reshape", self.dense(x, path), shape), perm=[0, 2, 1, 3])

    def scores(self, query: str, key: str) -> str:
        """Return the product of query and key."""
        return self.add("MatMul", query, self.add("Transpose", key, perm=[0, 1, 3, 2]))

    def joined(self, weights: str, value: str, path: str, x: str) -> str:
        """Return the output projection of attention."""
        context = self.add("Transpose", self.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        shape = self.add("Concat", self.size(x, 0), np.array([-1, 32]), axis=0)
        return self.dense(self.add("Reshape", context, shape), path)


class Original(Keras):
    """The first BERT: token types by one-hot vectors, positions by a slice, and Pow(-0.5) in LayerNorm."""

    power = True

    def embeddings(self) -> str:
        """Return the sum of the embeddings."""
        table = "embeddings.{}_embeddings.weight"
        words = self.add("Gather", self.weights[table.format("word")], "input_ids")
        flat = self.add("Cast", self.add("Reshape", "token_type_ids", np.array([-1])), to=TensorProto.INT64)
        one_hot = self.add("OneHot", flat, np.array([2]), np.array([0, 1], np.float32), axis=-1)
        types = self.add("MatMul", one_hot, self.weights[table.format("token_type")])
        types = self.add("Reshape", types, self.add("Shape", words))
        ends = self.add("Concat", self.size("input_ids", 1), np.array([2**31 - 1]), axis=0)
        rows = self.add("Slice", self.weights[table.format("position")], np.array([0, 0]), ends)
        shape = self.add("Concat", np.array([1]), self.size("input_ids", 1), np.array([32]), axis=0)
        return self.add("Add", self.add("Add", words, types), self.add("Reshape", rows, shape))

    def mask(self) -> str:
        """Return the mask as [B, 1, T, T]."""
        row = self.add("Cast", self.unsqueezed("attention_mask", 1), to=TensorProto.FLOAT)
        ones = self.add("Cast", self.unsqueezed("input_ids", 2), to=TensorProto.FLOAT)
        ones = self.add("Add", self.add("Mul", ones, 0.0), 1.0)
        return self.unsqueezed(self.add("Mul", ones, row), 1)


class ModelGarden(Keras):
    """BERT of the TensorFlow Model Garden, as on TensorFlow Hub: dense layers and attention by Einsum."""

    def heads(self, x: str, path: str) -> str:
        """Return a dense layer split into heads, [B, T, N, H]."""
        product = self.add("Einsum", x, self.kernel(path).reshape(32, 4, 8), equation="abc,cde->abde")
        return self.add("Add", product, self.weights[f"{path}.bias"].reshape(4, 8))

    def dense(self, x: str, path: str) -> str:
        """Return a dense layer."""
        product = self.add("Einsum", x, self.kernel(path), equation="abc,cd->abd")
        return self.add("Add", product, self.weights[f"{path}.bias"])

    def scores(self, query: str, key: str) -> str:
        """Return the product of query and key."""
        return self.add("Einsum", key, query, equation="aecd,abcd->acbe")

    def joined(self, weights: str, value: str, path: str, x: str) -> str:
        """Return the output projection of attention."""
        context = self.add("Einsum", weights, value, equation="acbe,aecd->abcd")
        product = self.add("Einsum", context, self.kernel(path).reshape(4, 8, 32), equation="abcd,cde->abe")
        return self.add("Add", product, self.weights[f"{path}.bias"])


def keras() -> onnx.ModelProto:
    """Return the graph of a TensorFlow model of transformers."""
    return Keras(13).run()


def original() -> onnx.ModelProto:
    """Return the graph of the first BERT."""
    return Original(11).run()


def model_garden() -> onnx.ModelProto:
    """Return the graph of a BERT of the TensorFlow Model Garden."""
    return ModelGarden(13).run()
