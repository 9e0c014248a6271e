"""Outputs of a graph other than the token vectors: they set the pooling, or are reported, or the graph is rejected."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.onnx_to_flax import Conversion, convert
from minilm_jax.nn.params import Params
from tests.helpers.tiny_model import TINY

pytestmark = pytest.mark.usefixtures("graphs_run_here")

HIDDEN = "last_hidden_state"


class Extended:
    """The graph of the tiny model, to which outputs are added."""

    def __init__(self, params: Params) -> None:
        self.model = to_onnx(params, TINY)
        self.count = 0

    def add(self, op: str, *inputs: str | Sequence[float] | float, **attributes: Any) -> str:
        self.count += 1
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.model.graph.node.append(helper.make_node(op, names, [f"added{self.count}"], **attributes))
        return f"added{self.count}"

    def constant(self, value: Sequence[float] | float) -> str:
        array = np.array(value)
        self.count += 1
        tensor = array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int64)
        self.model.graph.initializer.append(numpy_helper.from_array(tensor, f"constant{self.count}"))
        return f"constant{self.count}"

    def keep(self, *names: str) -> None:
        kept = [value for value in self.model.graph.output if value.name in names]
        del self.model.graph.output[:]
        self.model.graph.output.extend(kept)

    def output(self, tensor: str, name: str, data_type: int = onnx.TensorProto.FLOAT) -> None:
        self.model.graph.node.append(helper.make_node("Identity", [tensor], [name]))
        self.model.graph.output.append(helper.make_tensor_value_info(name, data_type, None))

    def mask(self) -> str:
        return self.add("Unsqueeze", self.add("Cast", "attention_mask", to=onnx.TensorProto.FLOAT), [-1])

    def tokens(self) -> str:
        return self.add("ReduceSum", self.mask(), [1], keepdims=0)

    def mean(self) -> str:
        return self.add("Div", self.total(), self.tokens())

    def total(self) -> str:
        return self.add("ReduceSum", self.add("Mul", HIDDEN, self.mask()), [1], keepdims=0)

    def cls(self) -> str:
        return self.add("Gather", HIDDEN, 0, axis=1)

    def max(self) -> str:
        shifted = self.add("Mul", self.add("Sub", 1.0, self.mask()), -1e9)
        return self.add("ReduceMax", self.add("Add", HIDDEN, shifted), axes=[1], keepdims=0)

    def mean_sqrt_len(self) -> str:
        return self.add("Div", self.total(), self.add("Sqrt", self.tokens()))

    def weighted_mean(self) -> str:
        weights = self.add("CumSum", self.mask(), 1)
        weights = self.add("Mul", weights, self.mask())
        total = self.add("ReduceSum", self.add("Mul", HIDDEN, weights), [1], keepdims=0)
        return self.add("Div", total, self.add("ReduceSum", weights, [1], keepdims=0))

    def last_token(self) -> str:
        last = self.add("Sub", self.add("ReduceSum", "attention_mask", [1], keepdims=1), 1)
        return self.add("GatherND", HIDDEN, last, batch_dims=1)

    def unit(self, tensor: str) -> str:
        return self.add("LpNormalization", tensor, axis=-1, p=2)


@pytest.fixture
def graph(tiny_params: Params) -> Extended:
    return Extended(tiny_params)


POOLINGS: dict[str, Callable[[Extended], str]] = {
    "mean": Extended.mean,
    "cls": Extended.cls,
    "max": Extended.max,
    "mean_sqrt_len": Extended.mean_sqrt_len,
    "weighted_mean": Extended.weighted_mean,
    "last_token": Extended.last_token,
    "cls+mean": lambda graph: graph.add("Concat", graph.cls(), graph.mean(), axis=1),
    "mean+max+last_token": lambda graph: graph.add("Concat", graph.mean(), graph.max(), graph.last_token(), axis=1),
}


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_in_the_graph_sets_the_config(graph: Extended, pooling: str, *, normalize: bool, alone: bool) -> None:
    vector = POOLINGS[pooling](graph)
    graph.output(graph.unit(vector) if normalize else vector, "sentence_embedding")
    graph.keep("sentence_embedding", *([] if alone else [HIDDEN]))
    conversion = convert(graph.model)
    # At unit length, these two poolings are equal.
    expected = "mean" if normalize and pooling == "mean_sqrt_len" else pooling
    assert (conversion.config.pooling, conversion.config.normalize) == (expected, normalize)
    assert conversion.pools
    assert conversion.not_converted == []


def reported(graph: Extended) -> str:
    conversion = convert(graph.model)
    assert "last_hidden_state" in conversion.verification.outputs
    return " ".join(conversion.not_converted)


def first_values(graph: Extended, tensor: str, size: int) -> str:
    return graph.add("Slice", tensor, [0], [size], [1])


@pytest.mark.parametrize("normalize", [False, True])
def test_slice_of_a_sentence_vector_is_reported(graph: Extended, *, normalize: bool) -> None:
    vector = first_values(graph, graph.unit(graph.mean()), 8)
    graph.output(graph.unit(vector) if normalize else vector, "short")
    expected = "output 'short' [B, 8] is not converted: it is the first 8 values of mean pooling"
    assert expected in reported(graph)
    assert ("scaled to unit length" in reported(graph)) == normalize


def test_second_pooling_is_reported(graph: Extended) -> None:
    graph.output(graph.unit(graph.mean()), "sentence_embedding")
    graph.output(graph.cls(), "first")
    expected = "output 'first' is not converted: it is cls pooling, but the config has mean pooling, unit length."
    assert reported(graph) == expected


def layer_outputs(graph: Extended) -> list[str]:
    norms = [node.output[0] for node in graph.model.graph.node if node.op_type == "LayerNormalization"]
    return norms[::2]


def test_hidden_states_of_layers_are_reported(graph: Extended) -> None:
    embeddings, first, last = layer_outputs(graph)
    graph.output(first, "middle")
    graph.output(embeddings, "start")
    stacked = [graph.add("Unsqueeze", tensor, [0]) for tensor in (embeddings, first, last)]
    graph.output(graph.add("Concat", *stacked, axis=0), "all")
    text = reported(graph)
    assert "output 'middle' [B, T, 24] is not converted: it is the hidden state after layer 1." in text
    assert "output 'start' [B, T, 24] is not converted: it is the output of the embeddings." in text
    assert "it is the hidden states of all layers." in text


def test_copies_of_inputs_and_unknown_outputs_are_reported(graph: Extended) -> None:
    graph.output("input_ids", "ids", onnx.TensorProto.INT64)
    graph.output(graph.add("Mul", graph.mean(), 2.0), "doubled")
    text = reported(graph)
    assert "output 'ids' [B, T] is not converted: it is the input 'input_ids'." in text
    assert "output 'doubled' [B, 24] is not converted: its meaning is unknown; the nearest is" in text


def test_graph_whose_outputs_are_all_unknown_is_rejected(graph: Extended) -> None:
    graph.output(first_values(graph, graph.mean(), 8), "short")
    graph.keep("short")
    with pytest.raises(
        mj.ConversionError, match=r"none of the outputs .*'short' \[B, 8\]: it is the first 8 values of"
    ):
        convert(graph.model)


def pooler_only(graph: Extended, pooling: str | None = None) -> Conversion:
    graph.keep("pooler_output")
    return convert(graph.model, pooling=pooling)


def test_graph_with_only_the_pooler_needs_a_pooling(graph: Extended) -> None:
    with pytest.raises(mj.ConversionError, match=r"its only output is BERT's pooler_output.*--pooling"):
        pooler_only(graph)
    conversion = pooler_only(graph, "cls")
    assert (conversion.config.pooling, conversion.pooling_from) == ("cls", "argument")


def test_scaled_pooler_is_not_a_sentence_vector(graph: Extended) -> None:
    graph.output(graph.unit("pooler_output"), "vector")
    graph.keep("vector")
    with pytest.raises(mj.ConversionError, match="it is pooler_output, scaled to unit length"):
        convert(graph.model)


def test_given_pooling_overrides_that_of_the_graph(graph: Extended) -> None:
    graph.output(graph.mean(), "sentence_embedding")
    conversion = convert(graph.model, pooling="cls")
    assert conversion.config.pooling == "cls"
    assert "it is mean pooling, but the config has cls pooling" in conversion.not_converted[0]
