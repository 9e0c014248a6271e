"""ONNX to Flax: every exporter's graph of the real model gives the same bits, and what is no BERT is refused."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import version_converter

import minilm_jax as mj
from convert import pipeline
from convert.__main__ import main
from convert.flax_to_onnx import to_onnx
from convert.onnx_to_flax import Conversion, convert
from convert.reading.onnx_file import check_model, read_onnx
from convert.verification import verify
from minilm_jax.checkpoints.cache import published_file
from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.nn.params import Params, flatten
from tests.exports.hydrate import hydrate
from tests.forms.rewrites import anonymous
from tests.helpers.paths import EXPORTS
from tests.helpers.tiny_model import TINY, random_params

EXPORTED = sorted(EXPORTS.glob("*.onnx.gz"))
HUB = EXPORTS / "hub.onnx.gz"
# Two float32 runtimes on the real weights.
RUNTIMES_AGREE = 1e-5

Weights = Mapping[str, NDArray[np.float32]]


def same_bits(params: Params, weights: Weights) -> bool:
    wanted = flatten(from_hub(weights))
    found = flatten(params)
    missing = {path for path in wanted if path not in found}
    assert missing in (set(), {"pooler.dense.kernel", "pooler.dense.bias"})
    return all(np.array_equal(found[path], wanted[path]) and found[path].dtype == np.float32 for path in found)


def largest_difference(conversion: Conversion) -> float:
    return max(output.largest_difference for output in conversion.verification.outputs.values())


@pytest.mark.parametrize("path", EXPORTED, ids=lambda path: path.name.removesuffix(".onnx.gz"))
def test_every_exporters_graph_gives_the_same_bits(path: Path, weights: Weights) -> None:
    model = hydrate(path, weights)
    check_model(model)
    conversion = convert(model)
    assert same_bits(conversion.params, weights)
    assert conversion.config == mj.ALL_MINILM_L6_V2
    assert ("pooler" in conversion.params) == any(output.name == "pooler_output" for output in model.graph.output)
    assert largest_difference(conversion) < RUNTIMES_AGREE


def test_the_published_file_itself(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hydrate(HUB, weights).SerializeToString())
    source = read_onnx(path)
    assert source.sha256 == "6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452"
    assert same_bits(convert(source.model).params, weights)


@pytest.mark.parametrize("name", ["ts11-eager", "ts11-eager-pooler"])
def test_upgraded_to_opset_16_as_the_original_project_did(name: str, weights: Weights) -> None:
    upgraded = version_converter.convert_version(hydrate(HUB.with_name(f"{name}.onnx.gz"), weights), 16)
    conversion = convert(upgraded)
    assert upgraded.opset_import[0].version == 16
    assert same_bits(conversion.params, weights)


@pytest.mark.parametrize("name", ["hub", "ts14-eager-pooler-unfolded", "dynamo23-sdpa"])
def test_names_do_not_matter(name: str, weights: Weights) -> None:
    assert same_bits(convert(anonymous(hydrate(HUB.with_name(f"{name}.onnx.gz"), weights))).params, weights)


def test_a_swapped_weight_does_not_pass_the_proof(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hydrate(HUB, weights)
    honest = verify.encode

    def swapped(params: Params, *rest: Any) -> Any:
        own = params["encoder"]["layer"]["3"]["attention"]["self"]
        own["query"], own["key"] = own["key"], own["query"]
        return honest(params, *rest)

    monkeypatch.setattr(verify, "encode", swapped)
    with pytest.raises(mj.ConversionError, match="differs from the graph's by"):
        convert(model)


def test_onnxs_own_evaluator_proves_it_where_onnxruntime_is_missing(
    tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    conversion = convert(to_onnx(tiny_params, TINY), trusted=True)
    assert conversion.verification.runtime == "onnx.reference"
    assert largest_difference(conversion) < RUNTIMES_AGREE
    with pytest.raises(mj.ConversionError, match=r"minilm-jax\[verify\]"):
        convert(to_onnx(tiny_params, TINY))


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["--no-compilation-cache", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_a_folder_is_all_that_is_needed(weights: Weights, encoder: mj.SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(hydrate(HUB, weights).SerializeToString())
    out = tmp_path / "out"
    output = run("onnx_to_flax", tmp_path / "mine.onnx", "--out", out, "--report")
    assert "last_hidden_state: largest difference from the ONNX graph" in output
    assert "encoder.layer.0.attention.self.query.kernel" in output
    record = json.loads((out / "conversion.json").read_text("utf-8"))
    assert record["source"]["sha256"].startswith("6fd5d72f")
    assert (record["source"]["opset"], record["source"]["producer"]) == (14, "pytorch 2.5.0")
    assert record["source"]["published_as"] == "sentence-transformers/all-MiniLM-L6-v2 onnx/model.onnx"
    assert record["proof"]["outputs"]["last_hidden_state"]["largest_difference"] < RUNTIMES_AGREE
    assert record["weights"]["encoder.layer.0.attention.self.query.kernel"]["source"].startswith("onnx::MatMul_")
    converted = mj.SentenceEncoder.from_pretrained(out)
    assert converted.config == mj.ALL_MINILM_L6_V2
    assert "pooler" not in converted.params
    np.testing.assert_allclose(converted.encode("Hello"), encoder.encode("Hello"), rtol=0, atol=1e-6)
    back = tmp_path / "back.onnx"
    run("flax_to_onnx", out, "--out", back)
    assert same_bits(convert(read_onnx(back).model).params, weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.onnx", "mine.onnx", "out"]


def test_the_default_model_is_complete(params: Params, tmp_path: Path) -> None:
    run("onnx_to_flax", "--out", tmp_path / "out", "--format", "msgpack")
    converted = mj.load_params(tmp_path / "out")
    assert jax.tree.all(jax.tree.map(np.array_equal, converted, params))


def test_the_hubs_file_of_the_default_model_gets_its_pooler_from_the_weights(
    weights: Weights, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(hydrate(HUB, weights).SerializeToString())
    monkeypatch.setattr(pipeline, "default_onnx_file", lambda: tmp_path / "model.onnx")
    run("onnx_to_flax", "--out", tmp_path / "out")
    assert jax.tree.all(jax.tree.map(np.array_equal, mj.load_params(tmp_path / "out"), params))
    record = json.loads((tmp_path / "out" / "conversion.json").read_text("utf-8"))
    assert record["weights"]["pooler.dense.kernel"]["source"] == "model.safetensors"


def test_safetensors_to_flax(params: Params, folder: Path, tmp_path: Path) -> None:
    run("safetensors_to_flax", folder, "--out", tmp_path / "out")
    assert jax.tree.all(jax.tree.map(np.array_equal, mj.load_params(tmp_path / "out"), params))
    record = json.loads((tmp_path / "out" / "conversion.json").read_text("utf-8"))
    assert record["source"]["sha256"].startswith("53aa5117")


def test_params_load_straight_from_an_onnx_file(weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(hydrate(HUB, weights).SerializeToString())
    assert same_bits(jax.tree.map(np.asarray, mj.load_params(tmp_path / "model.onnx")), weights)


def test_nothing_is_written_for_a_bad_file_and_no_traceback_shown(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08\x12")
    output = run("onnx_to_flax", tmp_path / "bad.onnx", "--out", tmp_path / "out", code=1)
    assert output.startswith("error: ")
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_a_folder_that_is_no_conversion_is_left_alone(tiny_params: Params, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(to_onnx(tiny_params, TINY).SerializeToString())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("mine")
    tokenizer = published_file("tokenizer.json").parent
    output = run("onnx_to_flax", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--tokenizer", tokenizer, code=1)
    assert "holds no conversion" in output
    assert (tmp_path / "out" / "precious").read_text() == "mine"


def test_a_conversion_with_files_of_ones_own_in_it_is_left_alone(tiny_params: Params, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(to_onnx(tiny_params, TINY).SerializeToString())
    tokenizer, out = published_file("tokenizer.json").parent, tmp_path / "out"
    run("onnx_to_flax", tmp_path / "tiny.onnx", "--out", out, "--tokenizer", tokenizer)
    (out / "model.onnx").write_text("mine")
    output = run("onnx_to_flax", tmp_path / "tiny.onnx", "--out", out, "--tokenizer", tokenizer, code=1)
    assert "also holds 'model.onnx', which would be lost" in output
    assert (out / "model.onnx").read_text() == "mine"


def test_the_same_vocabulary_is_not_the_same_model(tmp_path: Path) -> None:
    config = mj.EncoderConfig.from_dict({**TINY.to_dict(), "vocab_size": mj.ALL_MINILM_L6_V2.vocab_size})
    (tmp_path / "bge.onnx").write_bytes(to_onnx(random_params(config, seed=0), config).SerializeToString())
    assert "--tokenizer" in run("onnx_to_flax", tmp_path / "bge.onnx", "--out", tmp_path / "out", code=1)


def test_a_model_with_another_vocabulary_needs_its_own_tokenizer(tiny_params: Params, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(to_onnx(tiny_params, TINY).SerializeToString())
    output = run("onnx_to_flax", tmp_path / "tiny.onnx", "--out", tmp_path / "out", code=1)
    assert "--tokenizer" in output
    assert not (tmp_path / "out").exists()


def test_converting_twice_writes_the_same_bytes(tiny_params: Params, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(to_onnx(tiny_params, TINY).SerializeToString())
    tokenizer = published_file("tokenizer.json").parent
    for out in ("first", "second", "second"):
        run("onnx_to_flax", tmp_path / "tiny.onnx", "--out", tmp_path / out, "--tokenizer", tokenizer)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
