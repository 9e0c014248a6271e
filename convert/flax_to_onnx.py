"""Convert the parameter tree to an opset-17 ONNX graph with named initializers, in float32, float16 or int8."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.reading.large_models import is_large
from minilm_jax import __version__
from minilm_jax.config import EncoderConfig, OnnxPrecision
from minilm_jax.nn.params import check, flatten

OPSET = 17
# This is the oldest file format version that allows opset 17, so old runtimes can read it.
_IR_VERSION = 8


def to_onnx(
    params: Mapping[str, Any], config: EncoderConfig, *, precision: OnnxPrecision = "float32"
) -> onnx.ModelProto:
    """Build an ONNX model with the outputs of `encode`, or with the logits of a model with a head.

    Args:
        params: Nested dict of float32 arrays.
        config: Sizes of the encoder.
        precision: "float16" computes in float16, except for the sums of LayerNorm; "int8" stores kernels and word
            embeddings in 8 bits and multiplies in 8 bits.

    Returns:
        A model with the inputs input_ids, attention_mask and token_type_ids, int64[batch, sequence], and the float32
        outputs last_hidden_state and, if params have a pooler, pooler_output. For a classifier, the output is logits
        [batch, labels]; for a sparse head, logits [batch, sequence, vocabulary], without the pooling. Equal params give
        equal bytes.

    Raises:
        ModelFileError: The params do not match the config.
    """
    check(params, config)
    builder = {"float32": _Builder, "float16": _HalfBuilder, "int8": _Int8Builder}[precision](params, config)
    outputs = [_value(name, TensorProto.FLOAT, *shape) for name, shape in builder.outputs().items()]
    inputs = [_value(name, TensorProto.INT64, "batch", "sequence") for name in _INPUTS]
    graph = helper.make_graph(builder.nodes, "bert", inputs, outputs, list(builder.tensors.values()))
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="minilm-jax", producer_version=__version__)
    model.ir_version = _IR_VERSION
    if not is_large(model):  # The checker would serialize it.
        onnx.checker.check_model(model)
    return model


_WORDS = "embeddings.word_embeddings.embedding"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _Builder:
    """Builder of a float32 model; each method appends nodes and returns the name of their output."""

    dtype: ClassVar[Any] = np.float32

    def __init__(self, params: Mapping[str, Any], config: EncoderConfig) -> None:
        self.leaves = {path: np.asarray(leaf) for path, leaf in flatten(params).items()}
        self.config = config
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}

    def output(self, name: str, tensor: str) -> str:
        """Name the last tensor as an output of the graph; returns the tensor that later nodes should use."""
        self.nodes[-1].output[0] = self.nodes[-1].name = name
        return name

    def outputs(self) -> dict[str, tuple[str | int, ...]]:
        """Build the graph; returns the shapes of its outputs."""
        config, hidden = self.config, self.encoder()
        if config.classifier:
            self.output("logits", self.linear("classifier", self.pooler(hidden, config.classifier.activation)))
            return {"logits": ("batch", config.output_size)}
        if config.sparse_head:
            self.output("logits", self.language_model(hidden))
            shapes = {"logits": ("batch", "sequence", config.vocab_size)}
        else:
            hidden = self.output("last_hidden_state", hidden)
            shapes = {"last_hidden_state": ("batch", "sequence", config.hidden_size)}
        if "pooler.dense.kernel" not in self.leaves:
            return shapes
        self.output("pooler_output", self.pooler(hidden))
        return {**shapes, "pooler_output": ("batch", config.hidden_size)}

    def encoder(self) -> str:
        mask = self.mask_bias()
        hidden = self.embeddings()
        for index in range(self.config.num_hidden_layers):
            hidden = self.layer(f"encoder.layer.{index}", hidden, mask)
        return hidden

    def embeddings(self) -> str:
        words = self.words("input_ids")
        types = self.node("Gather", self.weight("embeddings.token_type_embeddings.embedding"), "token_type_ids")
        table = self.weight("embeddings.position_embeddings.embedding")
        if self.config.padding_idx is None:
            length = self.node("Shape", "input_ids", start=1, end=2)
            positions = self.node("Slice", table, self.ints(0), length)
        else:
            positions = self.node("Gather", table, self.counted_positions(self.config.padding_idx))
        return self.layer_norm("embeddings", self.node("Add", self.node("Add", words, types), positions))

    def counted_positions(self, padding_idx: int) -> str:
        padding = self.constant(f"padding_{padding_idx}", np.int64(padding_idx))
        is_text = self.node("Cast", self.node("Not", self.node("Equal", "input_ids", padding)), to=TensorProto.INT64)
        counts = self.node("CumSum", is_text, self.constant("axis_1", np.int64(1)))
        return self.node("Add", self.node("Mul", counts, is_text), padding)

    def mask_bias(self) -> str:
        mask = self.node("Cast", "attention_mask", to=helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype)))
        hidden = self.node("Sub", self.floats(1.0), self.node("Unsqueeze", mask, self.ints(1, 2)))
        return self.node("Mul", hidden, self.floats(float(np.finfo(self.dtype).min)))

    def layer(self, path: str, hidden: str, mask: str) -> str:
        context = self.attention(f"{path}.attention.self", hidden, mask)
        projected = self.linear(f"{path}.attention.output.dense", context)
        attended = self.layer_norm(f"{path}.attention.output", self.node("Add", projected, hidden))
        wide = self.activation(self.linear(f"{path}.intermediate.dense", attended))
        narrow = self.linear(f"{path}.output.dense", wide)
        return self.layer_norm(f"{path}.output", self.node("Add", narrow, attended))

    def attention(self, path: str, hidden: str, mask: str) -> str:
        heads = self.config.num_attention_heads
        head_size = self.config.hidden_size // heads
        # In an ONNX Reshape, 0 keeps the size of that axis.
        split, merged = self.ints(0, 0, heads, head_size), self.ints(0, 0, self.config.hidden_size)
        query, key, value = (
            self.node("Transpose", self.node("Reshape", self.linear(f"{path}.{name}", hidden), split), perm=perm)
            for name, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = self.node("Mul", self.node("MatMul", query, key), self.floats(head_size**-0.5))
        weights = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        mixed = self.node("Transpose", self.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", mixed, merged)

    def activation(self, x: str, *, exact: bool = False) -> str:
        if exact or self.config.hidden_act == "gelu":
            inner = self.node("Erf", self.node("Mul", x, self.floats(0.5**0.5)))
        else:
            cubic = self.node("Mul", self.floats(0.044715), self.node("Pow", x, self.floats(3.0)))
            inner = self.node("Tanh", self.node("Mul", self.floats((2 / np.pi) ** 0.5), self.node("Add", x, cubic)))
        return self.node("Mul", self.node("Mul", x, self.node("Add", inner, self.floats(1.0))), self.floats(0.5))

    def pooler(self, hidden: str, activation: str = "tanh") -> str:
        first = self.node("Gather", hidden, self.constant("first", np.int64(0)), axis=1)
        return self.node(activation.capitalize(), self.linear("pooler.dense", first))

    def language_model(self, hidden: str) -> str:
        # RoBERTa always has the exact GELU here.
        exact = self.config.padding_idx is not None
        activated = self.activation(self.linear("predictions.transform.dense", hidden), exact=exact)
        product = self.by_words(self.layer_norm("predictions.transform", activated))
        return self.node("Add", product, self.weight("predictions.bias"))

    def words(self, ids: str) -> str:
        return self.node("Gather", self.weight(_WORDS), ids)

    def by_words(self, x: str) -> str:
        return self.node("MatMul", x, self.node("Transpose", self.weight(_WORDS), perm=[1, 0]))

    def linear(self, path: str, x: str) -> str:
        return self.node("Add", self.node("MatMul", x, self.weight(f"{path}.kernel")), self.weight(f"{path}.bias"))

    def layer_norm(self, path: str, x: str) -> str:
        scale, bias = self.weight(f"{path}.LayerNorm.scale"), self.weight(f"{path}.LayerNorm.bias")
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=self.config.layer_norm_eps)

    def weight(self, path: str) -> str:
        return self.tensor(path, self.leaves[path].astype(self.dtype, copy=False))

    def ints(self, *values: int) -> str:
        return self.constant("_".join(map(str, values)), np.array(values, np.int64))

    def floats(self, value: float) -> str:
        return self.constant(f"{value:.9g}", self.dtype(value))

    def constant(self, name: str, value: Any) -> str:
        return self.tensor(f"constant_{name}", np.asarray(value))

    def tensor(self, name: str, value: NDArray[Any]) -> str:
        if name not in self.tensors:
            self.tensors[name] = numpy_helper.from_array(value, name)
        return name

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        output = f"{op_type.lower()}_{len(self.nodes)}"
        names = [output, *(f"{output}_{index}" for index in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, inputs, names, name=output, **attributes))
        return output


class _HalfBuilder(_Builder):
    """Builder of a float16 model; by its definition, LayerNormalization still sums in float32."""

    dtype = np.float16

    def output(self, name: str, tensor: str) -> str:
        self.nodes.append(helper.make_node("Cast", [tensor], [name], name=name, to=TensorProto.FLOAT))
        return tensor


class _Int8Builder(_Builder):
    """Builder of an int8 model: kernels are quantized per output feature, activations dynamically."""

    def words(self, ids: str) -> str:
        values, scale = self.int8(_WORDS, axis=None)
        zero = self.constant("zero_point", np.int8(0))
        return self.node("DequantizeLinear", self.node("Gather", values, ids), scale, zero)

    def by_words(self, x: str) -> str:
        values, scale = self.int8(_WORDS, axis=None)
        return self.product(x, self.node("Transpose", values, perm=[1, 0]), scale)

    def linear(self, path: str, x: str) -> str:
        product = self.product(x, *self.int8(f"{path}.kernel", axis=0))
        return self.node("Add", product, self.weight(f"{path}.bias"))

    def product(self, x: str, values: str, scale: str) -> str:
        x = self.quantized(x)
        product = self.node("MatMulInteger", x, values, f"{x}_2")
        scales = self.node("Mul", f"{x}_1", scale)
        return self.node("Mul", self.node("Cast", product, to=TensorProto.FLOAT), scales)

    def int8(self, path: str, axis: int | None) -> tuple[str, str]:
        if path not in self.tensors:
            values, scale = _int8(self.leaves[path], axis)
            self.tensor(path, values)
            self.tensor(f"{path}_scale", scale)
        return path, f"{path}_scale"

    def quantized(self, x: str) -> str:
        # Query, key and value use the same quantized input.
        for node in reversed(self.nodes):
            if node.op_type == "DynamicQuantizeLinear" and node.input[0] == x:
                return node.output[0]
        return self.node("DynamicQuantizeLinear", x, outputs=3)


def _int8(weight: NDArray[Any], axis: int | None) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize a weight to integers within ±127, with one scale for all values or one per column."""
    largest = np.abs(weight).max(axis=axis)
    scale = np.where(largest == 0, 1, largest / 127).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def _value(name: str, dtype: int, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)
