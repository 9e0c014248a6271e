"""The meaning of the inputs of a graph: masks, positions and their shapes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.graph.lowering import plain_graph
from convert.onnx_to_flax import convert
from convert.reading.onnx_file import read_onnx
from convert.recognition.masks import find_masks
from minilm_jax.nn.params import Params
from tests.helpers.onnx_forms import ACCEPTED, unpacked
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import RUNTIMES_AGREE

FLOAT = onnx.TensorProto.FLOAT


def with_mask(params: Params, shape: list[str | int], name: str, *, tokens: int | str = "sequence") -> onnx.ModelProto:
    """Return the tiny graph with a float mask that is added to the scores."""
    model = to_onnx(params, TINY)
    adds = {name: node for node in model.graph.node if node.op_type == "Add" for name in node.output}
    scores = [adds[node.input[0]] for node in model.graph.node if node.op_type == "Softmax"]
    read, kept = {"attention_mask"}, []
    for node in model.graph.node:
        if node in scores:
            node.input[1] = name
        if node in scores or not read & {*node.input}:
            kept.append(node)
        else:
            read |= {*node.output}
    mask = next(value for value in model.graph.input if value.name == "attention_mask")
    mask.CopyFrom(helper.make_tensor_value_info(name, FLOAT, shape))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    if tokens != "sequence":
        for value in model.graph.input:
            if len(value.type.tensor_type.shape.dim) == 2:
                value.type.tensor_type.shape.dim[0].dim_value = 1
                value.type.tensor_type.shape.dim[1].dim_value = int(tokens)
    return model


@pytest.mark.parametrize(
    ("shape", "tokens"),
    [
        (["batch", 1, 1, "sequence"], "sequence"),
        (["batch", 1, "sequence", "sequence"], "sequence"),
        ([1, 1, 1, 12], 12),
        ([1, 1, 12, 12], 12),
    ],
)
# The names say the opposite: the data flow decides.
@pytest.mark.parametrize("name", ["attention_mask", "token_bias", "segments"])
def test_mask_that_is_added_to_the_scores(
    tiny_params: Params, shape: list[str | int], tokens: int | str, name: str
) -> None:
    conversion = convert(with_mask(tiny_params, shape, name, tokens=tokens))
    assert conversion.layout.masks == {name: True}
    assert max(found.largest_difference for found in conversion.verification.outputs.values()) < RUNTIMES_AGREE


def test_mask_of_ones_and_zeros_is_not_added(tiny_params: Params) -> None:
    assert convert(to_onnx(tiny_params, TINY)).layout.masks == {"attention_mask": False}


def test_mask_with_five_axes_is_rejected(tiny_params: Params) -> None:
    with pytest.raises(mj.ConversionError, match="the mask 'm' has 5 axes"):
        convert(with_mask(tiny_params, ["batch", 1, 1, 1, "sequence"], "m"))


@pytest.fixture
def roberta(tmp_path: Path) -> onnx.ModelProto:
    """A RoBERTa whose padding id is 1."""
    name = "roberta-ts14-eager"
    return read_onnx(unpacked(name, ACCEPTED[name]["file"], tmp_path)).model


def test_positions_of_roberta_start_after_the_padding_id(roberta: onnx.ModelProto) -> None:
    conversion = convert(roberta)
    assert (conversion.config.padding_idx, conversion.config.max_length) == (1, 24)
    assert conversion.layout.counts_padding


def changed(model: onnx.ModelProto, op_type: str, value: int) -> None:
    """Set the constant operand of the first node with an operator, in the embeddings."""
    nodes = {name: node for node in model.graph.node for name in node.output}
    node = next(n for n in model.graph.node if n.op_type == op_type and n.name.startswith("/embeddings"))
    constant = next(nodes[name] for name in node.input if name in nodes and nodes[name].op_type == "Constant")
    constant.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(value, np.int64)))


@pytest.mark.parametrize("op_type", ["Equal", "Add"])
def test_positions_that_disagree_with_the_padding_id_are_rejected(roberta: onnx.ModelProto, op_type: str) -> None:
    changed(roberta, op_type, 2)
    with pytest.raises(mj.ConversionError, match=r"counts the tokens that differ from .*, and adds"):
        convert(roberta)


def positions_from(start: int) -> Callable[[onnx.ModelProto], None]:
    """Return a change of the tiny graph to positions that start at a number and depend only on the length."""

    def change(model: onnx.ModelProto) -> None:
        name = "embeddings.position_embeddings.embedding"
        node = next(node for node in model.graph.node if name in node.input)
        length = helper.make_node("Shape", ["input_ids"], ["length"], start=1, end=2)
        size = helper.make_node("Squeeze", ["length"], ["size"])
        end = helper.make_node("Add", ["size", "start"], ["end"])
        ids = helper.make_node("Range", ["start", "end", "one"], ["ids"])
        rows = helper.make_node("Gather", [name, "ids"], list(node.output))
        index = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        for new in (rows, ids, end, size, length):
            model.graph.node.insert(index, new)
        for key, value in {"start": start, "one": 1}.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), key))

    return change


@pytest.mark.parametrize(("start", "padding_idx"), [(0, None), (2, 1), (5, 4)])
def test_constant_offset_of_positions_is_found(tiny_params: Params, start: int, padding_idx: int | None) -> None:
    model = to_onnx(tiny_params, TINY)
    positions_from(start)(model)
    conversion = convert(model)
    assert conversion.config.padding_idx == padding_idx
    assert not conversion.layout.counts_padding


def test_bias_of_fused_attention_is_added_to_the_scores() -> None:
    inputs = ["query", "key", "value", "", "", "bias"]
    node = helper.make_node("MultiHeadAttention", inputs, ["y"], domain="com.microsoft", num_heads=2)
    values = [helper.make_tensor_value_info(name, FLOAT, None) for name in inputs if name]
    model = helper.make_model(helper.make_graph([node], "one", values, [onnx.ValueInfoProto(name="y")]))
    assert find_masks(plain_graph(model)) == {"bias": True}
