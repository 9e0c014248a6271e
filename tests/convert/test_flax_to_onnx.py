"""Params to ONNX: a new graph in three precisions, or an existing graph with new weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import minilm_jax as mj
from convert import onnx_to_flax
from convert.flax_to_onnx import to_onnx
from convert.graph.lowering import plain_graph
from convert.onnx_to_flax import convert
from convert.pipeline import folder_to_onnx
from convert.reading import large_models
from convert.reading.onnx_file import read_onnx
from convert.recognition.bert_layout import recognize
from convert.writing.write_back import write_back
from minilm_jax.config import OnnxPrecision
from minilm_jax.nn.params import Params, flatten, unflatten
from tests.helpers.compiled import embed, encode
from tests.helpers.onnx_forms import ACCEPTED, STORED, unpacked
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import FLOAT16_GRAPH, ROUND_TRIP_RTOL, RUNTIMES_AGREE

pytestmark = pytest.mark.usefixtures("graphs_run_here")

SENTENCES = ["Hello world", "A man is playing a guitar on the stage.", "The stock market fell sharply on Monday."]
SEVERAL = ("shared-layers", "zero-bias", "by-concat")
# Graphs that store each weight in floats and in its own initializer.
PLAIN = [
    name for name, form in ACCEPTED.items() if form["kind"] in STORED and not any(part in name for part in SEVERAL)
]

Weights = dict[str, NDArray[np.float32]]


def run(model: onnx.ModelProto, batch: mj.Batch) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {name: array.astype(np.int64) for name, array in batch._asdict().items()}
    return [np.asarray(array) for array in session.run(["last_hidden_state", "pooler_output"], feeds)]


def test_graph_matches_encode_in_onnxruntime(params: Params) -> None:
    model = to_onnx(params, mj.ALL_MINILM_L6_V2)
    assert [opset.version for opset in model.opset_import] == [17]
    assert {tensor.name for tensor in model.graph.initializer} >= flatten(params).keys()
    for batch in (mj.tokenize(["Hello world"]), mj.tokenize(["A longer sentence than the other one.", "Short."])):
        hidden, pooled = run(model, batch)
        output = encode(params, batch)
        real = batch.attention_mask != 0
        np.testing.assert_allclose(
            np.asarray(output.last_hidden_state)[real], hidden[real], rtol=0, atol=RUNTIMES_AGREE
        )
        np.testing.assert_allclose(np.asarray(output.pooler_output), pooled, rtol=0, atol=RUNTIMES_AGREE)


@pytest.mark.parametrize("pooler", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_round_trip_is_bit_identical(pooler: bool, activation: str) -> None:
    config = mj.EncoderConfig.from_dict({**TINY.to_dict(), "hidden_act": activation, "layer_norm_eps": 1e-7})
    params = random_params(config, seed=1, pooler=pooler)
    model = to_onnx(params, config)
    back = convert(model)
    assert back.config == config
    assert flatten(back.params).keys() == flatten(params).keys()
    assert jax.tree.all(jax.tree.map(np.array_equal, back.params, params))
    assert to_onnx(back.params, back.config).SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    )


def test_roberta_positions_convert_both_ways(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, padding_idx=1, type_vocab_size=1)
    params = random_params(config, seed=1)
    back = convert(to_onnx(params, config))
    assert back.config == config
    batch = mj.Batch(np.array([[2, 5, 1, 7, 3, 1], [2, 3, 1, 1, 1, 1]]), np.array([[1] * 5 + [0], [1] * 2 + [0] * 4]))
    batch = batch._replace(token_type_ids=np.zeros_like(batch.input_ids))
    hidden = run(to_onnx(params, config), batch)[0]
    own = np.asarray(encode(params, batch).last_hidden_state)
    real = batch.attention_mask != 0
    np.testing.assert_allclose(own[real], hidden[real], rtol=0, atol=RUNTIMES_AGREE)


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnx.reference"])
def test_model_above_the_size_of_a_message_is_written_with_a_second_file(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_models, "MAX_TENSOR_BYTES", 1_000)
    monkeypatch.setattr(onnx_to_flax, "choose_runtime", lambda *, trusted: runtime)
    folder, params = tmp_path / "model", random_params(TINY, seed=1)
    folder.mkdir()
    mj.save_params(params, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY.to_dict()), "utf-8")
    folder_to_onnx(folder, tmp_path / "large.onnx")
    assert (tmp_path / "large.onnx").stat().st_size < 20_000 < (tmp_path / "large.onnx.data").stat().st_size
    back = convert(read_onnx(tmp_path / "large.onnx").model)
    assert jax.tree.all(jax.tree.map(np.array_equal, back.params, params))


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_graph_optimized_by_onnxruntime_converts_back(level: str, tmp_path: Path) -> None:
    params, options = random_params(TINY, seed=1), onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(tmp_path / "saved.onnx")
    options.log_severity_level = 3  # onnxruntime warns that the file is specific to this machine.
    onnxruntime.InferenceSession(to_onnx(params, TINY).SerializeToString(), options, ["CPUExecutionProvider"])
    back = convert(read_onnx(tmp_path / "saved.onnx").model)
    assert jax.tree.all(jax.tree.map(np.array_equal, back.params, params))


@pytest.mark.parametrize(("precision", "size", "cosine"), [("float16", 0.51, 0.99999), ("int8", 0.27, 0.98)])
def test_reduced_precision_gives_similar_embeddings(
    params: Params, precision: OnnxPrecision, size: float, cosine: float
) -> None:
    config = mj.ALL_MINILM_L6_V2
    model = to_onnx(params, config, precision=precision)
    assert model.ByteSize() < size * to_onnx(params, config).ByteSize()
    batch = mj.tokenize(SENTENCES)
    hidden, _ = run(model, batch)
    wanted, mask = np.asarray(embed(params, batch)), np.asarray(batch.attention_mask)[..., None]
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    found = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert hidden.dtype == np.float32
    assert (found * wanted).sum(1).min() > cosine


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_reduced_precision_converts_back_to_the_rounded_weights(precision: OnnxPrecision) -> None:
    params = random_params(TINY, seed=3)
    conversion = convert(to_onnx(params, TINY, precision=precision))
    for path, leaf in flatten(params).items():
        found = flatten(conversion.params)[path]
        stored = conversion.layout.weights[path].stored
        assert stored in (("float16",) if precision == "float16" else ("int8", "float32"))
        # A weight is off by half a step at most: int8 has 127 steps up to the largest value, float16 has 11 bits.
        step = np.abs(leaf).max() / 254 if stored == "int8" else np.abs(leaf).max() * 2.0**-11
        np.testing.assert_allclose(found, leaf, rtol=ROUND_TRIP_RTOL, atol=0 if stored == "float32" else step * 1.001)


def changed(params: Params) -> Params:
    """Return params with other values, all of which float16 represents exactly."""
    random = np.random.default_rng(0)
    return unflatten(
        {
            path: random.integers(-64, 64, np.shape(leaf)).astype(np.float32) / 64
            for path, leaf in flatten(params).items()
        }
    )


@pytest.mark.parametrize("name", PLAIN)
def test_changed_params_are_written_back_into_their_graph(name: str, tmp_path: Path) -> None:
    original = read_onnx(unpacked(name, ACCEPTED[name]["file"], tmp_path)).model
    before = recognize(plain_graph(original))
    weights = {path: weight.weight for path, weight in before.weights.items()}
    # DistilBERT has no token types, so its graph has no table for them.
    absent = {
        path: leaf for path, leaf in weights.items() if before.weights[path].source.startswith("not in the graph")
    }
    wanted = unflatten({**flatten(changed(unflatten(weights))), **absent})
    model = write_back(wanted, original)
    after = recognize(plain_graph(model))
    for path, leaf in flatten(wanted).items():
        found = after.weights[path]
        np.testing.assert_allclose(found.weight, leaf, rtol=0 if found.factor == 1 else ROUND_TRIP_RTOL, err_msg=path)
    constants = {node.output[0] for node in original.graph.node if node.op_type == "Constant"}
    assert [node for node in model.graph.node if node.output[0] not in constants] == [
        node for node in original.graph.node if node.output[0] not in constants
    ]
    assert [t.name for t in model.graph.initializer] == [t.name for t in original.graph.initializer]
    assert model.graph.input == original.graph.input


@pytest.mark.parametrize(
    "name",
    ["ts11-eager", "ts14-sdpa-O2", "dynamo20-eager", "ts11-eager-fp16-io", "reranker-ts14-sdpa", "masked-lm-ts14-sdpa"],
)
def test_written_back_params_match_the_graph_in_the_runtime(name: str, tmp_path: Path) -> None:
    path = unpacked(name, ACCEPTED[name]["file"], tmp_path)
    conversion = convert(read_onnx(path).model)
    halved = jax.tree.map(lambda leaf: leaf / 2, conversion.params)
    folder = tmp_path / "folder"
    folder.mkdir()
    mj.save_params(halved, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps(conversion.config.to_dict()))
    agreements = folder_to_onnx(folder, tmp_path / "new.onnx", like=path)
    (agreement,) = agreements.values()
    assert agreement.largest_difference < (FLOAT16_GRAPH if "fp16" in name else RUNTIMES_AGREE)
    assert jax.tree.all(jax.tree.map(np.array_equal, convert(read_onnx(tmp_path / "new.onnx").model).params, halved))


def refusal(name: str, folder: Path, scale: float = 2.0) -> str:
    original = read_onnx(unpacked(name, ACCEPTED[name]["file"], folder)).model
    leaves = {path: weight.weight for path, weight in recognize(plain_graph(original)).weights.items()}
    with pytest.raises(mj.ConversionError) as caught:
        write_back(changed(unflatten(leaves)), original)
    return str(caught.value)


def test_error_names_the_reason_why_params_cannot_be_written_back(tmp_path: Path) -> None:
    assert "several weights, which now differ" in refusal("shared-layers-ts14", tmp_path)
    assert "as int8 (dequantized), which cannot be written" in refusal("ts14-sdpa-dynamic-int8-matmul", tmp_path)
    assert "as 4-bit blocks (dequantized), which cannot be written" in refusal("ts14-sdpa-q4-sym-32", tmp_path)
