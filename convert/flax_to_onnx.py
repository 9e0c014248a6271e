"""The parameter tree to a clean opset-17 ONNX graph with named initialisers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from minilm_jax import __version__
from minilm_jax.config import EncoderConfig
from minilm_jax.params import check, flatten

OPSET = 17
# The oldest file format version that goes with opset 17, so that old runtimes read it.
_IR_VERSION = 8


def to_onnx(params: Mapping[str, Any], config: EncoderConfig) -> onnx.ModelProto:
    """Builds the ONNX model that computes what `encode` computes.

    Args:
        params: Nested dict of float32 arrays.
        config: Sizes of the encoder that params belong to.

    Returns:
        A model that takes int64[batch, sequence] input_ids, attention_mask and token_type_ids and returns
        last_hidden_state and, where params have a pooler, pooler_output. Equal params give equal bytes.

    Raises:
        ModelFileError: The params do not fit the config.
    """
    check(params, config)
    builder = _Builder(config)
    hidden = builder.encoder("last_hidden_state")
    outputs = [_value("last_hidden_state", TensorProto.FLOAT, "batch", "sequence", config.hidden_size)]
    if "pooler" in params:
        builder.pooler(hidden, "pooler_output")
        outputs.append(_value("pooler_output", TensorProto.FLOAT, "batch", config.hidden_size))
    inputs = [_value(name, TensorProto.INT64, "batch", "sequence") for name in _INPUTS]
    weights = [numpy_helper.from_array(np.asarray(leaf), path) for path, leaf in sorted(flatten(params).items())]
    graph = helper.make_graph(builder.nodes, "bert", inputs, outputs, weights + builder.constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="minilm-jax", producer_version=__version__)
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    return model


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _Builder:
    """Collects the nodes; every method appends some and returns the name of the tensor that they compute."""

    def __init__(self, config: EncoderConfig) -> None:
        self.config = config
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def encoder(self, output: str) -> str:
        mask = self.mask_bias()
        hidden = self.embeddings()
        last = self.config.num_hidden_layers - 1
        for index in range(last + 1):
            hidden = self.layer(f"encoder.layer.{index}", hidden, mask, output if index == last else None)
        return hidden

    def embeddings(self) -> str:
        words = self.node("Gather", "embeddings.word_embeddings.embedding", "input_ids")
        types = self.node("Gather", "embeddings.token_type_embeddings.embedding", "token_type_ids")
        length = self.node("Shape", "input_ids", start=1, end=2)
        positions = self.node("Slice", "embeddings.position_embeddings.embedding", self.ints(0), length)
        return self.layer_norm("embeddings", self.node("Add", self.node("Add", words, types), positions))

    def mask_bias(self) -> str:
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        hidden = self.node("Sub", self.floats(1.0), self.node("Unsqueeze", mask, self.ints(1, 2)))
        return self.node("Mul", hidden, self.floats(float(np.finfo(np.float32).min)))

    def layer(self, path: str, hidden: str, mask: str, output: str | None) -> str:
        context = self.attention(f"{path}.attention.self", hidden, mask)
        projected = self.linear(f"{path}.attention.output.dense", context)
        attended = self.layer_norm(f"{path}.attention.output", self.node("Add", projected, hidden))
        wide = self.activation(self.linear(f"{path}.intermediate.dense", attended))
        narrow = self.linear(f"{path}.output.dense", wide)
        return self.layer_norm(f"{path}.output", self.node("Add", narrow, attended), output)

    def attention(self, path: str, hidden: str, mask: str) -> str:
        heads = self.config.num_attention_heads
        head_size = self.config.hidden_size // heads
        # In an ONNX Reshape 0 keeps a size.
        split, merged = self.ints(0, 0, heads, head_size), self.ints(0, 0, self.config.hidden_size)
        query, key, value = (
            self.node("Transpose", self.node("Reshape", self.linear(f"{path}.{name}", hidden), split), perm=perm)
            for name, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = self.node("Mul", self.node("MatMul", query, key), self.floats(head_size**-0.5))
        weights = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        mixed = self.node("Transpose", self.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", mixed, merged)

    def activation(self, x: str) -> str:
        if self.config.hidden_act == "gelu":
            inner = self.node("Erf", self.node("Mul", x, self.floats(0.5**0.5)))
        else:
            cubic = self.node("Mul", self.floats(0.044715), self.node("Pow", x, self.floats(3.0)))
            inner = self.node("Tanh", self.node("Mul", self.floats((2 / np.pi) ** 0.5), self.node("Add", x, cubic)))
        return self.node("Mul", self.node("Mul", x, self.node("Add", inner, self.floats(1.0))), self.floats(0.5))

    def pooler(self, hidden: str, output: str) -> str:
        first = self.node("Gather", hidden, self.constant("first", np.int64(0)), axis=1)
        return self.node("Tanh", self.linear("pooler.dense", first), output=output)

    def linear(self, path: str, x: str) -> str:
        return self.node("Add", self.node("MatMul", x, f"{path}.kernel"), f"{path}.bias")

    def layer_norm(self, path: str, x: str, output: str | None = None) -> str:
        scale, bias = f"{path}.LayerNorm.scale", f"{path}.LayerNorm.bias"
        epsilon = self.config.layer_norm_eps
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon, output=output)

    def ints(self, *values: int) -> str:
        return self.constant("_".join(map(str, values)), np.array(values, np.int64))

    def floats(self, value: float) -> str:
        return self.constant(f"{value:.9g}", np.float32(value))

    def constant(self, name: str, value: Any) -> str:
        name = f"constant_{name}"
        if all(tensor.name != name for tensor in self.constants):
            self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op_type: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output


def _value(name: str, dtype: int, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)
