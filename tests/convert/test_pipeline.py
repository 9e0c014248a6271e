"""The commands of the converter: files and folders in, folders and files out."""

import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import helper

import minilm_jax as mj
from convert import pipeline
from convert.__main__ import main
from convert.flax_to_onnx import to_onnx
from convert.onnx_to_flax import convert
from convert.reading.onnx_file import read_onnx
from minilm_jax.checkpoints.cache import published_file
from minilm_jax.nn.params import Params, flatten, unflatten
from tests.exports.hydrate import hydrate
from tests.helpers.onnx_exports import HUB, same_bits
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import RUNTIMES_AGREE, UNIT_VECTORS

Weights = Mapping[str, NDArray[np.float32]]


@pytest.fixture
def tiny_file(tiny_params: Params, tmp_path: Path) -> Path:
    """The tiny model as an ONNX file, in a folder without a tokenizer."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(to_onnx(tiny_params, TINY).SerializeToString())
    return path


@pytest.fixture(scope="session")
def tokenizer_folder() -> Path:
    """A folder with a tokenizer for any model."""
    return published_file("tokenizer.json").parent


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result.output


def test_converted_folder_is_complete_and_converts_back(
    weights: Weights, encoder: mj.SentenceEncoder, tmp_path: Path
) -> None:
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
    np.testing.assert_allclose(converted.encode("Hello"), encoder.encode("Hello"), rtol=0, atol=UNIT_VECTORS)
    back = tmp_path / "back.onnx"
    run("flax_to_onnx", out, "--out", back)
    assert same_bits(convert(read_onnx(back).model).params, weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.onnx", "mine.onnx", "out"]


def test_default_model_converts_with_its_pooler(params: Params, tmp_path: Path) -> None:
    run("onnx_to_flax", "--out", tmp_path / "out", "--format", "msgpack")
    converted = mj.load_params(tmp_path / "out")
    assert jax.tree.all(jax.tree.map(np.array_equal, converted, params))


def test_pooler_missing_from_the_default_onnx_file_is_read_from_safetensors(
    weights: Weights, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(hydrate(HUB, weights).SerializeToString())
    monkeypatch.setattr(pipeline, "default_onnx_file", lambda: tmp_path / "model.onnx")
    run("onnx_to_flax", "--out", tmp_path / "out")
    assert jax.tree.all(jax.tree.map(np.array_equal, mj.load_params(tmp_path / "out"), params))
    record = json.loads((tmp_path / "out" / "conversion.json").read_text("utf-8"))
    assert record["weights"]["pooler.dense.kernel"]["source"] == "model.safetensors"


def test_safetensors_to_flax_gives_the_params_of_the_hub_folder(params: Params, folder: Path, tmp_path: Path) -> None:
    run("safetensors_to_flax", folder, "--out", tmp_path / "out")
    assert jax.tree.all(jax.tree.map(np.array_equal, mj.load_params(tmp_path / "out"), params))
    record = json.loads((tmp_path / "out" / "conversion.json").read_text("utf-8"))
    assert record["source"]["sha256"].startswith("53aa5117")


def test_load_params_reads_an_onnx_file(weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(hydrate(HUB, weights).SerializeToString())
    assert same_bits(jax.tree.map(np.asarray, mj.load_params(tmp_path / "model.onnx")), weights)


def test_damaged_file_prints_one_error_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08\x12")
    output = run("onnx_to_flax", tmp_path / "bad.onnx", "--out", tmp_path / "out", code=1)
    assert output.startswith("error: ")
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_folder_without_a_conversion_is_not_overwritten(
    tiny_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("mine")
    output = run("onnx_to_flax", tiny_file, "--out", tmp_path / "out", "--tokenizer", tokenizer_folder, code=1)
    assert "is not a converted model" in output
    assert (tmp_path / "out" / "precious").read_text() == "mine"


def test_conversion_with_other_files_is_not_overwritten(
    tiny_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("onnx_to_flax", tiny_file, "--out", out, "--tokenizer", tokenizer_folder)
    (out / "model.onnx").write_text("mine")
    output = run("onnx_to_flax", tiny_file, "--out", out, "--tokenizer", tokenizer_folder, code=1)
    assert "also contains 'model.onnx', which would be lost" in output
    assert (out / "model.onnx").read_text() == "mine"


def test_default_tokenizer_is_not_used_for_a_model_with_only_the_same_vocabulary(tmp_path: Path) -> None:
    config = mj.EncoderConfig.from_dict({**TINY.to_dict(), "vocab_size": mj.ALL_MINILM_L6_V2.vocab_size})
    (tmp_path / "bge.onnx").write_bytes(to_onnx(random_params(config, seed=0), config).SerializeToString())
    assert "--tokenizer" in run("onnx_to_flax", tmp_path / "bge.onnx", "--out", tmp_path / "out", code=1)


def test_default_tokenizer_is_not_used_for_a_model_with_another_vocabulary(tiny_file: Path, tmp_path: Path) -> None:
    output = run("onnx_to_flax", tiny_file, "--out", tmp_path / "out", code=1)
    assert "--tokenizer" in output
    assert not (tmp_path / "out").exists()


def test_converting_twice_writes_the_same_bytes(tiny_file: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    for out in ("first", "second", "second"):
        run("onnx_to_flax", tiny_file, "--out", tmp_path / out, "--tokenizer", tokenizer_folder)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def short_file(params: Params, folder: Path) -> Path:
    """Write a graph for 8 tokens, whose position table has 8 rows, next to the config of the whole model."""
    config = dataclasses.replace(TINY, max_position_embeddings=8)
    leaves = dict(flatten(params))
    path = "embeddings.position_embeddings.embedding"
    leaves[path] = leaves[path][:8]
    (folder / "tiny.onnx").write_bytes(to_onnx(unflatten(leaves), config).SerializeToString())
    (folder / "config.json").write_text(json.dumps(TINY.to_dict() | {"pooling": "cls"}))
    return folder / "tiny.onnx"


def test_graph_for_short_texts_gives_a_warning(tiny_params: Params, tmp_path: Path, tokenizer_folder: Path) -> None:
    file = short_file(tiny_params, tmp_path)
    output = run("onnx_to_flax", file, "--out", tmp_path / "out", "--tokenizer", tokenizer_folder)
    warning = "the longest text is 8 tokens, although config.json states 16 positions"
    assert f"warning: {warning}" in output
    record = json.loads((tmp_path / "out" / "conversion.json").read_text("utf-8"))
    assert record["warnings"][0].startswith(warning)


def test_other_outputs_are_printed_and_recorded(tiny_params: Params, tmp_path: Path, tokenizer_folder: Path) -> None:
    model = to_onnx(tiny_params, TINY)
    model.graph.node.append(helper.make_node("Identity", ["input_ids"], ["copy"]))
    model.graph.output.append(helper.make_tensor_value_info("copy", onnx.TensorProto.INT64, None))
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    output = run("onnx_to_flax", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--tokenizer", tokenizer_folder)
    assert "warning: output 'copy' [B, T] is not converted: it is the input 'input_ids'." in output
    record = json.loads((tmp_path / "out" / "conversion.json").read_text("utf-8"))
    assert record["proof"]["other_outputs"] == {"copy": "[B, T]: it is the input 'input_ids'"}


def test_missing_runtime_and_tokenizer_are_reported_together(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    output = run("onnx_to_flax", tiny_file, code=1)
    assert "minilm-jax[verify]" in output
    assert "its folder has no tokenizer.json" in output
