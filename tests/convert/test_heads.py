"""Classifiers and masked language models in a graph: what is recognized, what is verified, and what is rejected."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.graph.constant import Constant
from convert.graph.lowering import plain_graph
from convert.onnx_to_flax import convert
from convert.pipeline import folder_to_onnx
from convert.recognition.bert_layout import recognize
from convert.recognition.logits_table import check_same_table
from convert.verification import graph_runner
from convert.verification.inputs import random_batch
from convert.verification.outputs import Encoded
from minilm_jax.config import OnnxPrecision
from minilm_jax.nn.params import Params, flatten
from tests.helpers.json_files import write_json
from tests.helpers.tiny_model import TINY, random_params

pytestmark = pytest.mark.usefixtures("graphs_run_here")

RERANKER = dataclasses.replace(TINY, classifier=mj.Classifier(("LABEL_0",)))
SPLADE = dataclasses.replace(TINY, sparse_head=mj.SparseHead())
ROBERTA = {"padding_idx": 1, "type_vocab_size": 1}
HEADS = {
    "one label": RERANKER,
    "three labels": dataclasses.replace(TINY, classifier=mj.Classifier(("LABEL_0", "LABEL_1", "LABEL_2"))),
    "relu": dataclasses.replace(TINY, classifier=mj.Classifier(("LABEL_0", "LABEL_1"), "relu")),
    "RoBERTa": dataclasses.replace(RERANKER, **ROBERTA),
    "language model": SPLADE,
    "gelu_new": dataclasses.replace(SPLADE, hidden_act="gelu_new"),
    "exact GELU of RoBERTa": dataclasses.replace(SPLADE, hidden_act="gelu_new", **ROBERTA),
}
WORDS = "embeddings.word_embeddings.embedding"
# Smallest cosine of the logits of tiny models with those of their int8 graph; measured: 0.9997.
TINY_INT8_COSINE = 0.999


def graph_of(config: mj.EncoderConfig) -> onnx.ModelProto:
    return to_onnx(random_params(config, seed=1, pooler=False), config)


def output(model: onnx.ModelProto, tensor: str) -> None:
    model.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))


def node(model: onnx.ModelProto, op_type: str, index: int = 0) -> onnx.NodeProto:
    return [node for node in model.graph.node if node.op_type == op_type][index]


def same(params: Params, other: Params) -> bool:
    return flatten(params).keys() == flatten(other).keys() and jax.tree.all(jax.tree.map(np.array_equal, params, other))


@pytest.mark.parametrize("name", HEADS)
def test_round_trip_is_bit_identical(name: str) -> None:
    params = random_params(HEADS[name], seed=1, pooler=False)
    model = to_onnx(params, HEADS[name])
    back = convert(model)
    assert [value.name for value in model.graph.output] == ["logits"]
    assert back.config == HEADS[name]
    assert same(back.params, params)
    assert to_onnx(back.params, back.config).SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("name", HEADS)
def test_reduced_precision_is_written_and_verified(name: str, precision: OnnxPrecision, tmp_path: Path) -> None:
    params = random_params(HEADS[name], seed=1, pooler=False)
    mj.save_params(params, tmp_path / "params.safetensors")
    write_json(tmp_path / "config.json", HEADS[name].to_dict())
    agreement = folder_to_onnx(tmp_path, tmp_path / "model.onnx", precision=precision)["logits"]
    assert 0 < agreement.largest_difference
    assert agreement.smallest_cosine > TINY_INT8_COSINE


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 1_200, "num_hidden_layers": 1},
        {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512, "num_hidden_layers": 2},
    ],
    ids=["TinyBERT-L4, heads of 26", "MiniLM-L2, heads of 64"],
)
def test_sizes_of_small_rerankers_convert(changes: dict[str, int]) -> None:
    config = dataclasses.replace(RERANKER, **changes)
    back = convert(graph_of(config))
    assert back.config == config
    assert same(back.params, random_params(config, seed=1))


@pytest.mark.parametrize(("config", "tanh"), [(RERANKER, True), (SPLADE, False)])
def test_graph_with_further_outputs_converts(config: mj.EncoderConfig, *, tanh: bool) -> None:
    model = graph_of(config)
    last = node(model, "LayerNormalization", -1 if config.classifier else -2)
    last.output[0] = "last_hidden_state"
    for other in model.graph.node:
        other.input[:] = [name if name != last.name else "last_hidden_state" for name in other.input]
    output(model, "last_hidden_state")
    if tanh:
        output(model, node(model, "Tanh").output[0])
    back = convert(model)
    meanings = [agreement.meaning for agreement in back.verification.outputs.values()]
    assert meanings == ["logits", "last_hidden_state", *["pooler_output"] * tanh]
    assert back.config == config


@pytest.mark.parametrize("config", [RERANKER, SPLADE])
def test_head_that_no_output_needs_is_ignored(config: mj.EncoderConfig) -> None:
    model = graph_of(config)
    del model.graph.output[:]
    output(model, node(model, "LayerNormalization", -1 if config.classifier else -2).output[0])
    back = convert(model)
    assert back.config == TINY
    assert "classifier.kernel" not in back.leaves
    assert "predictions.bias" not in back.leaves


def test_pooler_beside_a_language_model_is_kept() -> None:
    params = random_params(SPLADE, seed=1)
    back = convert(to_onnx(params, SPLADE))
    assert back.verification.outputs.keys() == {"logits", "pooler_output"}
    assert same(back.params, params)


def test_two_heads_are_rejected() -> None:
    model = to_onnx(random_params(SPLADE, seed=1), SPLADE)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((24, 2), np.float32), "relationship"))
    model.graph.node.append(helper.make_node("MatMul", ["pooler_output", "relationship"], ["relationship_logits"]))
    output(model, "relationship_logits")
    with pytest.raises(mj.ConversionError, match="the graph has a classifier and a masked language model"):
        convert(model)


@pytest.mark.parametrize("name", ["one label", "relu"])
def test_scores_instead_of_logits_are_rejected(name: str) -> None:
    model = graph_of(HEADS[name])
    model.graph.node.append(helper.make_node("Sigmoid", ["logits"], ["scores"]))
    model.graph.output[0].name = "scores"
    with pytest.raises(mj.ConversionError, match=r"is not part of BERT; .* if the graph returns their logits"):
        convert(model)


def test_other_activation_in_the_language_model_is_rejected() -> None:
    config = dataclasses.replace(SPLADE, hidden_act="gelu_new")
    model = graph_of(config)
    node(model, "Tanh", -1).op_type = "Erf"
    with pytest.raises(mj.ConversionError, match="the activation is gelu; it must be gelu_new"):
        convert(model)


def test_table_that_differs_from_the_word_embeddings_is_rejected() -> None:
    model = graph_of(SPLADE)
    words = next(tensor for tensor in model.graph.initializer if tensor.name == WORDS)
    other = numpy_helper.to_array(words).copy()
    other[3, 4] += 1e-3
    model.graph.initializer.append(numpy_helper.from_array(other, "own table"))
    node(model, "Transpose", -1).input[0] = "own table"
    with pytest.raises(mj.ConversionError, match=rf"'own table' is not a copy of the word embeddings '{WORDS}'"):
        convert(model)


def test_table_of_another_vocabulary_is_rejected() -> None:
    words = Constant(np.ones((5, 3), np.float32), "words", stored="float32")
    decoder = Constant(np.ones((3, 4), np.float32), "decoder", stored="float32")
    with pytest.raises(mj.ConversionError, match=r"'decoder' is \[3, 4\], but the word embeddings .* are \[5, 3\]"):
        check_same_table(words, decoder)


@pytest.mark.parametrize(("stored", "step"), [("int8", 1 / 254), ("uint8", 1 / 126), ("float16", 2**-11)])
def test_copies_of_the_table_may_differ_by_rounding(stored: str, step: float) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (50, 8)).astype(np.float32)
    values[0, 0] = 1
    words = Constant(values, "words", stored="float32")
    rounded = (values + step * np.sign(values)).T
    check_same_table(words, Constant(rounded, "decoder", stored=stored))
    with pytest.raises(mj.ConversionError, match="is not a copy of the word embeddings"):
        check_same_table(words, Constant(rounded, "decoder", stored="float32"))
    with pytest.raises(mj.ConversionError, match="is not a copy of the word embeddings"):
        check_same_table(words, Constant((values + 3 * step).T, "decoder", stored=stored))


def compared(config: mj.EncoderConfig) -> Encoded:
    model = graph_of(config)
    layout = recognize(plain_graph(model))
    return Encoded(random_params(config, seed=1, pooler=False), random_batch(model, layout), layout)


def test_logits_of_a_language_model_are_compared_by_token() -> None:
    encoded = compared(SPLADE)
    other = encoded.tensors["logits"].copy()
    other[-1, 2] *= -1
    agreement = encoded.agreement(other, "logits")
    assert agreement is not None
    assert agreement.smallest_cosine == pytest.approx(-1)
    assert agreement.cosine == pytest.approx(1 - 2 / encoded.is_text.sum())


def test_logits_of_a_classifier_are_compared_by_label() -> None:
    encoded = compared(HEADS["three labels"])
    other = encoded.tensors["logits"].copy()
    other[:, 1] *= -1
    agreement = encoded.agreement(other, "logits")
    assert agreement is not None
    assert agreement.smallest_cosine == pytest.approx(-1)
    assert agreement.cosine == pytest.approx(1 - 2 / 3)


def test_wrong_bias_of_the_language_model_fails_the_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph_of(SPLADE)
    monkeypatch.setattr("tests.convert.conftest.RUNTIMES", {"onnxruntime": _with_other_bias})
    with pytest.raises(mj.ConversionError, match="output 'logits' of the converted encoder differs from the graph's"):
        convert(model)


def _with_other_bias(data: bytes, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [array + 0.01 for array in graph_runner._onnxruntime(data, inputs)]
