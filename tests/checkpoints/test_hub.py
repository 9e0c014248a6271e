"""Models by name, from a local server that speaks the protocol of the Hugging Face hub."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants, file_download
from safetensors.numpy import load_file, save_file

import minilm_jax as mj
from minilm_jax.checkpoints.cache import model_folder
from minilm_jax.checkpoints.hub_files import settings_files, weight_files
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.hub_server import COMMIT, TOKEN, Hub, running_hub
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY, random_params

MODEL = "someone/tiny-encoder"
TEXTS = ["hello ac", "ac"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a saved model with CLS pooling."""
    folder = tmp_path_factory.mktemp("hub")
    tokenizer = TextTokenizer(write_tokenizer(folder))
    params = random_params(dataclasses.replace(TINY, pooling="cls"), 0)
    mj.SentenceEncoder(params, tokenizer=tokenizer, max_seq_length=16).save_pretrained(folder / "model")
    (folder / "model" / "pytorch_model.bin").write_bytes(b"never fetched")
    (folder / "model" / "code.py").write_text("raise SystemExit", "utf-8")
    return folder / "model"


def use_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let huggingface_hub use another address, as HF_ENDPOINT does before it is imported."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", url)


@pytest.fixture
def hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as server:
        use_endpoint(monkeypatch, server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        server.repositories[MODEL] = saved
        server.repositories["sentence-transformers/tiny-encoder"] = saved
        yield server


def failure(name: str, cache: Path, **options: Any) -> str:
    """Return the message of the error that loading raises."""
    with pytest.raises(mj.ModelFileError) as caught:
        mj.load_params(name, cache_dir=cache, **options)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [MODEL, "tiny-encoder"])
def test_model_is_loaded_by_its_name(hub: Hub, saved: Path, tmp_path: Path, name: str) -> None:
    encoder = mj.SentenceEncoder(name, cache_dir=tmp_path)
    assert encoder.config.pooling == "cls"
    np.testing.assert_array_equal(encoder.encode(TEXTS), mj.SentenceEncoder(saved).encode(TEXTS))
    assert not any("pytorch_model" in request or "code.py" in request for request in hub.requests_seen)


def test_revision_is_passed_to_the_hub(hub: Hub, tmp_path: Path) -> None:
    assert mj.load_params(MODEL, cache_dir=tmp_path, revision="v1").config.pooling == "cls"
    assert any("revision/v1" in request for request in hub.requests_seen)
    assert "has no revision 'v9'" in failure(MODEL, tmp_path, revision="v9")


def test_private_model_needs_the_token(hub: Hub, tmp_path: Path) -> None:
    hub.private.add(MODEL)
    assert "pass token=" in failure(MODEL, tmp_path)
    assert "pass token=" in failure(MODEL, tmp_path, token="wrong")
    assert mj.load_params(MODEL, cache_dir=tmp_path, token=TOKEN).config.pooling == "cls"


def test_gated_model_names_the_remedy(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add(MODEL)
    assert "is gated: accept its conditions" in failure(MODEL, tmp_path)


def test_cached_model_is_loaded_without_requests(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "downloads are turned off by local_files_only" in failure(MODEL, tmp_path, local_files_only=True)
    mj.load_params(MODEL, cache_dir=tmp_path)
    hub.requests_seen.clear()
    mj.load_params(MODEL, cache_dir=tmp_path, local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    mj.load_params(MODEL, cache_dir=tmp_path)
    assert hub.requests_seen == []


@pytest.mark.usefixtures("hub")
def test_cached_model_is_loaded_if_the_hub_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mj.load_params(MODEL, cache_dir=tmp_path)
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    assert mj.load_params(MODEL, cache_dir=tmp_path).config.pooling == "cls"
    assert "Check the connection" in failure("someone/other", tmp_path)


def test_broken_download_raises_error_and_the_next_one_succeeds(hub: Hub, tmp_path: Path) -> None:
    hub.broken = True
    assert MODEL in failure(MODEL, tmp_path)
    hub.broken = False
    assert mj.load_params(MODEL, cache_dir=tmp_path).config.pooling == "cls"


@pytest.mark.parametrize(
    ("name", "suggests"), [("all-minilm-l6-v3", True), ("all-mpnet-base-v2", False), ("x/all-MiniLM-L12-v2", False)]
)
def test_unknown_model_suggests_only_a_misspelled_default_model(
    hub: Hub, tmp_path: Path, name: str, suggests: bool
) -> None:
    message = failure(name, tmp_path)
    assert "neither a folder nor a model on the Hugging Face hub" in message
    assert ("Did you mean" in message) == suggests


@pytest.mark.parametrize("name", ["./tiny", "~nobody/x", "no/such/folder", "model.onnx", "a\\b", "", "x y"])
def test_path_is_never_looked_up(hub: Hub, tmp_path: Path, name: str) -> None:
    assert "not an existing folder" in failure(name, tmp_path)
    assert hub.requests_seen == []


def test_sharded_weights_are_downloaded(hub: Hub, saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "sharded"))
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / shard)
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (folder / "model.safetensors").unlink()
    hub.repositories[MODEL] = folder
    found = mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(found.encode(TEXTS), mj.SentenceEncoder(saved).encode(TEXTS))
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(mj.ModelFileError, match=r"model-00002-of-00002\.safetensors, which is missing"):
        mj.load_params(folder)


def test_onnx_is_converted_once_if_there_are_no_safetensors(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convert.pipeline import folder_to_onnx

    folder = Path(shutil.copytree(saved, tmp_path / "graph"))
    (folder / "onnx").mkdir()
    folder_to_onnx(folder, folder / "onnx" / "model.onnx")
    (folder / "model.safetensors").unlink()
    hub.repositories[MODEL] = folder
    first = mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache")
    assert first.config.pooling == "cls"
    np.testing.assert_allclose(first.encode(TEXTS), mj.SentenceEncoder(saved).encode(TEXTS), atol=1e-6)
    monkeypatch.setattr("convert.pipeline.convert", None)
    second = mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(second.encode(TEXTS), first.encode(TEXTS))
    assert model_folder(MODEL, cache_dir=tmp_path / "cache").name == COMMIT


def test_weights_are_chosen_by_format() -> None:
    names = ["config.json", "model.safetensors", "onnx/model.onnx", "pytorch_model.bin", "1_Pooling/config.json"]
    assert settings_files(names, [".", "1_Pooling"]) == ["config.json", "1_Pooling/config.json"]
    assert weight_files(names, ["."]) == ["model.safetensors"]
    assert weight_files(names, ["."], onnx=True) == ["onnx/model.onnx"]
    graph = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_int8.onnx", "2_Dense/model.safetensors"]
    assert weight_files(graph, [".", "2_Dense"]) == [graph[3], *graph[:2]]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert weight_files([*shards, "model.safetensors.index.json"], ["."]) == [*shards, "model.safetensors.index.json"]
    assert weight_files(shards, ["."]) == weight_files(["pytorch_model.bin"], ["."]) == []
    inner = ["0_Transformer/model.safetensors", "0_Transformer/tokenizer.json", "unrelated/model.safetensors"]
    assert weight_files(inner, ["0_Transformer", "1_Pooling"]) == inner[:1]
    assert settings_files(inner, ["0_Transformer", "../x"]) == inner[1:2]
