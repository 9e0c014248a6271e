"""ONNX files that are not BERT, damaged or hostile are rejected with a message about the first problem."""

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
from convert.recognition.bert_layout import recognize
from minilm_jax.nn.params import Params
from tests.helpers.limits import bounded
from tests.helpers.tiny_model import TINY

MAX_MESSAGE = 1_000


def tiny_model(tiny_params: Params) -> onnx.ModelProto:
    return to_onnx(tiny_params, TINY)


def node(model: onnx.ModelProto, op_type: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == op_type)


def without_attention(model: onnx.ModelProto) -> None:
    for found in model.graph.node:
        if found.op_type == "Softmax":
            found.op_type = "Relu"
            del found.attribute[:]


def with_relu(model: onnx.ModelProto) -> None:
    for found in model.graph.node:
        if found.op_type == "Erf":
            found.op_type = "Relu"


def with_a_task_head(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((24, 2), np.float32), "classifier"))
    model.graph.node.append(helper.make_node("ReduceMean", ["last_hidden_state"], ["mean"], axes=[1], keepdims=0))
    model.graph.node.append(helper.make_node("MatMul", ["mean", "classifier"], ["logits"]))
    model.graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, None))


def with_nan(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "encoder.layer.1.output.dense.kernel")
    tensor.raw_data = np.full(list(tensor.dims), np.nan, np.float32).tobytes()


def without_residual(model: onnx.ModelProto) -> None:
    for add in model.graph.node:
        if add.op_type == "Add" and any(name.startswith("layernormalization") for name in add.input):
            add.input[1] = add.input[0]
            return


def with_two_candidates_for_a_weight(model: onnx.ModelProto) -> None:
    wide = next(node for node in model.graph.node if "encoder.layer.0.intermediate.dense.kernel" in node.input)
    model.graph.node.insert(list(model.graph.node).index(wide), helper.make_node("MatMul", wide.input, ["second"]))
    model.graph.output.append(helper.make_tensor_value_info("second", onnx.TensorProto.FLOAT, None))


def with_one_name_for_two_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.add().CopyFrom(model.graph.initializer[0])


def with_an_unknown_input(model: onnx.ModelProto) -> None:
    for name in ("pixels", "more_pixels"):
        model.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_attention, "the graph has no attention block"),
        (with_relu, "encoder.layer.0: the activation is Relu; only GELU"),
        (with_a_task_head, r"the dense layer 'classifier' \[24, 2\] is not part of BERT"),
        (with_nan, "encoder.layer.1.output.dense.kernel.*contains NaN or infinite values"),
        (without_residual, "encoder.layer.0.attention.output: "),
        (with_two_candidates_for_a_weight, "encoder.layer.0.intermediate.dense: 2 dense layers follow"),
        (with_one_name_for_two_weights, "two of its initializers have the same name"),
        (with_an_unknown_input, "an input 'pixels'"),
    ],
)
def test_graph_that_is_not_bert_is_rejected_with_the_first_mismatch(
    tiny_params: Params, spoil: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = tiny_model(tiny_params)
    spoil(model)
    with pytest.raises(mj.ConversionError, match=message):
        convert(model)


def with_a_subgraph(model: onnx.ModelProto) -> None:
    node(model, "Erf").attribute.append(helper.make_attribute("body", onnx.GraphProto()))


def with_a_node_of_another_domain(model: onnx.ModelProto) -> None:
    node(model, "Erf").domain = "example.evil"


def with_a_short_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"\0" * 8


def with_a_huge_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**40]


def with_a_negative_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1, -4]


def with_external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def with_a_huge_name(model: onnx.ModelProto) -> None:
    node(model, "Erf").name = "x" * 2**20


def with_a_huge_tensor_name(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].name = "x" * 2**20


def with_a_terminal_escape_in_a_name(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "\x1b[2Jlast_hidden_state"


def with_a_sparse_constant(model: onnx.ModelProto) -> None:
    constant = model.graph.node.add(op_type="Constant", output=["sparse"])
    constant.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor.dims.append(1)


def with_functions(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="d")


def with_training_information(model: onnx.ModelProto) -> None:
    model.training_info.add()


def with_sparse_initializers(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def with_many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend([onnx.NodeProto()] * 60_000)


def with_strings(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.STRING


def with_an_unknown_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def with_data_in_two_fields(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.extend([1.0, 2.0])


def with_no_nodes(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_a_subgraph, "subgraph"),
        (with_a_node_of_another_domain, r"example\.evil"),
        (with_a_short_tensor, "does not match its shape"),
        (with_a_huge_tensor, "its tensors declare"),
        (with_a_negative_size, "negative size"),
        (with_external_data, "/etc/passwd.*the path is outside the folder"),
        (with_a_huge_name, "is longer than"),
        (with_a_huge_tensor_name, "is longer than"),
        (with_a_terminal_escape_in_a_name, "cannot be printed"),
        (with_a_sparse_constant, "sparse tensor"),
        (with_functions, "model-local functions"),
        (with_training_information, "training information"),
        (with_sparse_initializers, "sparse initializers"),
        (with_many_nodes, "the graph has 60,0.. nodes"),
        (with_strings, "has the ONNX type .*which is not supported"),
        (with_an_unknown_type, "has the ONNX type .*which is not supported"),
        (with_data_in_two_fields, "does not match its shape"),
        (with_no_nodes, "the graph is empty"),
    ],
)
def test_unsafe_file_is_rejected_before_memory_is_allocated(
    tiny_params: Params, tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = tiny_model(tiny_params)
    spoil(model)
    check_rejected(tmp_path, model.SerializeToString(), message)


def check_rejected(folder: Path, data: bytes, message: str) -> None:
    """Check that bytes are rejected within small limits of time and memory."""
    (folder / "model.onnx").write_bytes(data)
    with bounded(), pytest.raises(mj.ConversionError, match=message) as refusal:
        recognize(plain_graph(read_onnx(folder / "model.onnx").model))
    assert len(str(refusal.value)) < MAX_MESSAGE


def test_file_truncated_anywhere_is_rejected(tiny_params: Params, tmp_path: Path) -> None:
    whole = tiny_model(tiny_params).SerializeToString()
    for kept in range(0, len(whole), 1024):
        check_rejected(tmp_path, whole[:kept], r"model\.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GGUF\x03\x00\x00\x00", "this is a GGUF file.*safetensors_to_flax"),
        (b"PK\x03\x04\x00\x00archive/data.pkl", "this is a zip archive.*save_pretrained"),
        (b"\x80\x02}q\x00", "this is a pickle"),
        (b'\x40\x00\x00\x00\x00\x00\x00\x00{"__metadata__":{}}', "this is a safetensors file.*safetensors_to_flax"),
        (b"\n<!DOCTYPE html><html>", "this is a web page.*hf download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "this is a Git LFS pointer.*git lfs pull"),
        (b"\x89HDF\r\n", "this is an HDF5 file"),
        (b"\x1c\x00\x00\x00TFL3", "this is a TensorFlow Lite file"),
        (b"\x1f\x8b\x08", "this is a gzip archive"),
    ],
)
def test_file_in_a_known_format_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    check_rejected(tmp_path, content, message)


@pytest.mark.parametrize("content", [b"", b"no onnx", b"\x08\x08\x12"])
def test_file_in_another_format_is_rejected(tmp_path: Path, content: bytes) -> None:
    check_rejected(tmp_path, content, r"model\.onnx")


def test_graph_that_is_too_complex_to_search_is_rejected(tiny_params: Params, tmp_path: Path) -> None:
    # The converter searches from each Softmax, and every search visits all the Add nodes.
    model, size = tiny_model(tiny_params), 2_000
    for index in range(size):
        before = f"a{index - 1}" if index else "input_ids"
        model.graph.node.append(helper.make_node("Add", [before, before], [f"a{index}"]))
    for index in range(size):
        model.graph.node.append(helper.make_node("Softmax", [f"a{size - 1}"], [f"s{index}"]))
    check_rejected(tmp_path, model.SerializeToString(), "its graph is too complex for a BERT encoder")


@pytest.mark.parametrize(
    ("sizes", "data_type", "message"),
    [
        ([2**40, 8], onnx.TensorProto.INT64, "too large"),
        ([2**62, 2**62], onnx.TensorProto.INT64, "too large"),
        ([4, 8], 99, "has the ONNX type 99"),
    ],
)
def test_graph_input_of_unsupported_size_or_type_is_rejected(
    tiny_params: Params, sizes: list[int], data_type: int, message: str
) -> None:
    model = tiny_model(tiny_params)
    for value in model.graph.input:
        value.type.tensor_type.elem_type = data_type
        for axis, size in zip(value.type.tensor_type.shape.dim, sizes, strict=True):
            axis.dim_value = size
    with pytest.raises(mj.ConversionError, match=message):
        convert(model)


def test_input_size_of_minus_one_means_any_size(tiny_params: Params) -> None:
    model = tiny_model(tiny_params)
    for value in model.graph.input:
        for axis in value.type.tensor_type.shape.dim:
            axis.dim_value = -1
    assert convert(model).verification.outputs


def test_cyclic_graph_is_rejected(tiny_params: Params) -> None:
    model = tiny_model(tiny_params)
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]
    with pytest.raises(mj.ConversionError, match="before it is computed"):
        plain_graph(model)
