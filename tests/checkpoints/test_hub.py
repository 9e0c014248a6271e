"""Models by name, from a local server that speaks the protocol of the Hugging Face hub."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from huggingface_hub import constants, file_download
from safetensors.numpy import load_file, save_file

import minilm_jax as mj
from minilm_jax.checkpoints.cache import model_folder
from minilm_jax.checkpoints.hub_files import settings_files, weight_files
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.hub_server import COMMIT, TOKEN, Hub, running_hub
from tests.helpers.paths import ROOT
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
        server.repositories["someone/for-tokenize"] = saved
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
    # Settings are complete, but without weights this is not a model.
    assert "is not in the hub's cache" in failure(MODEL, tmp_path, local_files_only=True)
    hub.broken = False
    assert mj.load_params(MODEL, cache_dir=tmp_path).config.pooling == "cls"


def test_token_of_the_environment_is_sent(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.private.add(MODEL)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert mj.SentenceEncoder(MODEL, cache_dir=tmp_path).config.pooling == "cls"


def test_no_message_contains_the_token(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be downloaded" in failure(MODEL, tmp_path, token=f"{TOKEN}\n")
    hub.rejected = True
    assert "rejects the access token" in failure(MODEL, tmp_path, token=TOKEN)
    use_endpoint(monkeypatch, f"http://user:{TOKEN}@127.0.0.1:9")
    assert "cannot be downloaded" in failure(MODEL, tmp_path, token=TOKEN)


def test_offline_mode_is_named(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "downloads are turned off by HF_HUB_OFFLINE" in failure(MODEL, tmp_path)
    assert hub.requests_seen == []


def test_second_load_makes_one_request(hub: Hub, tmp_path: Path) -> None:
    mj.load_params(MODEL, cache_dir=tmp_path)
    hub.requests_seen.clear()
    mj.load_params(MODEL, cache_dir=tmp_path)
    assert len(hub.requests_seen) == 1


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "No space left in"), (errno.EROFS, "Cannot write to")])
@pytest.mark.usefixtures("hub")
def test_error_of_the_disk_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "failed")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert f"{message} {tmp_path}" in failure(MODEL, tmp_path)
    assert "HF_HOME" in failure(MODEL, tmp_path)


def test_pickles_are_named_and_not_fetched(hub: Hub, saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "pickles"))
    (folder / "model.safetensors").unlink()
    hub.repositories[MODEL] = folder
    assert "it has pytorch_model.bin, a pickle" in failure(MODEL, tmp_path / "cache")
    (folder / "pytorch_model.bin").rename(folder / "model_int8.onnx")
    assert "python -m convert onnx_to_flax DIR/model_int8.onnx" in failure(MODEL, tmp_path / "cache")
    assert not any("pytorch_model" in request or "int8" in request for request in hub.requests_seen)


def test_other_architectures_are_rejected_before_their_weights(hub: Hub, saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "qwen3"}), "utf-8")
    hub.repositories[MODEL] = folder
    assert f"{MODEL}: " in failure(MODEL, tmp_path / "cache")
    assert not any(request.endswith("model.safetensors") for request in hub.requests_seen)


def test_transformer_in_a_subfolder_is_loaded(hub: Hub, saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "modules"))
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    modules[0]["path"] = "encoder"
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "encoder").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json"):
        (folder / name).rename(folder / "encoder" / name)
    hub.repositories[MODEL] = folder
    found = mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(found.encode(TEXTS), mj.SentenceEncoder(saved).encode(TEXTS))
    mj.load_params(MODEL, cache_dir=tmp_path / "cache", local_files_only=True)


def test_tokenize_asks_the_hub_once(hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    expected = mj.tokenize(TEXTS, source=saved)
    np.testing.assert_array_equal(mj.tokenize(TEXTS, source="someone/for-tokenize").input_ids, expected.input_ids)
    hub.requests_seen.clear()
    mj.tokenize(TEXTS, source="someone/for-tokenize")
    assert hub.requests_seen == []


def test_default_model_of_another_revision_is_a_model_of_the_hub(hub: Hub, saved: Path, tmp_path: Path) -> None:
    hub.repositories[PINNED_ALL_MINILM_L6_V2.names[1]] = saved
    assert mj.load_params("all-minilm-l6-v2", cache_dir=tmp_path, revision="v1").config.pooling == "cls"
    hub.requests_seen.clear()
    message = failure("all-MiniLM-L6-v2", tmp_path / "empty", local_files_only=True)
    assert "local_files_only allows no download" in message
    assert hub.requests_seen == []


def command(hub: Hub, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module with the hub's environment variables, which huggingface_hub reads when it is imported."""
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "MINILM_JAX_CACHE": str(tmp_path / "own")}
    own["HF_HUB_OFFLINE"] = "0"
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", *arguments]
    return subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)


def test_commands_take_names(hub: Hub, saved: Path, tmp_path: Path) -> None:
    done = command(hub, tmp_path, "minilm_jax", "embed", "--model", MODEL, "--revision", "v1", "hello ac")
    vector = json.loads(done.stdout)["embedding"]
    np.testing.assert_allclose(vector, mj.SentenceEncoder(saved).encode("hello ac"), atol=1e-6)
    assert any("revision/v1" in request for request in hub.requests_seen)
    assert (tmp_path / "home" / "hub" / "models--someone--tiny-encoder" / "refs" / "v1").is_file()
    assert "Fetching" not in done.stderr
    done = command(hub, tmp_path, "convert", "safetensors_to_flax", MODEL)
    assert "tiny-encoder-flax" in done.stdout, done.stderr
    done = command(hub, tmp_path, "minilm_jax", "embed", "--model", "someone/unknown", "a")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: 'someone/unknown' is neither a folder nor a model")


@pytest.mark.parametrize(
    ("name", "suggests"),
    [
        ("all-minilm-l6-v3", True),
        ("all-MiniLM-L6v2", True),
        ("all-mpnet-base-v2", False),
        ("x/all-MiniLM-L12-v2", False),
        ("paraphrase-MiniLM-L6-v2", False),
        ("multi-qa-MiniLM-L6-cos-v1", False),
    ],
)
def test_unknown_model_suggests_only_a_misspelled_default_model(
    hub: Hub, tmp_path: Path, name: str, suggests: bool
) -> None:
    message = failure(name, tmp_path)
    assert "neither a folder nor a model on the Hugging Face hub" in message
    assert ("Did you mean" in message) == suggests


PATHS = ("./tiny", "~nobody/x", "no/such/folder", "a/", "a\\b", "model.onnx", "weights.Q8_0.gguf")
INVALID = ("", "x y", "a--b", "x.git")


@pytest.mark.parametrize("name", [*PATHS, *INVALID])
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


@pytest.fixture
def graph(saved: Path, tmp_path: Path) -> Path:
    """Return the folder of the model as ONNX only, with its weights in a second file."""
    from convert.pipeline import folder_to_onnx

    folder = Path(shutil.copytree(saved, tmp_path / "graph"))
    folder_to_onnx(folder, tmp_path / "model.onnx")
    (folder / "onnx").mkdir()
    model = onnx.load(tmp_path / "model.onnx")
    data = "model.onnx_data"
    onnx.save(model, folder / "onnx" / "model.onnx", save_as_external_data=True, location=data, size_threshold=100)
    (folder / "model.safetensors").unlink()
    return folder


def test_onnx_is_converted_once_if_there_are_no_safetensors(
    hub: Hub, saved: Path, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[MODEL] = graph
    first = mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache")
    assert first.config.pooling == "cls"
    np.testing.assert_allclose(first.encode(TEXTS), mj.SentenceEncoder(saved).encode(TEXTS), atol=1e-6)
    monkeypatch.setattr("convert.pipeline.convert", None)
    for is_offline in (False, True):
        second = mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache", local_files_only=is_offline)
        np.testing.assert_array_equal(second.encode(TEXTS), first.encode(TEXTS))
    folder = model_folder(MODEL, cache_dir=tmp_path / "cache")
    assert folder == tmp_path / "cache" / "hub" / "someone--tiny-encoder" / COMMIT


def test_cross_encoder_that_is_published_as_onnx_only_keeps_its_labels(hub: Hub, tmp_path: Path) -> None:
    from convert.pipeline import folder_to_onnx

    config = dataclasses.replace(TINY, classifier=mj.Classifier(("relevant",), scores="identity"))
    tokenizer, folder = TextTokenizer(write_tokenizer(tmp_path)), tmp_path / "reranker"
    model = mj.CrossEncoder(random_params(config, 0), tokenizer=tokenizer, max_seq_length=16)
    model.save_pretrained(folder)
    (folder / "onnx").mkdir()
    folder_to_onnx(folder, folder / "onnx" / "model.onnx")
    (folder / "model.safetensors").unlink()
    hub.repositories[MODEL] = folder
    found = mj.CrossEncoder(MODEL, cache_dir=tmp_path / "cache")
    assert found.config.classifier == config.classifier
    np.testing.assert_allclose(found.predict([TEXTS]), model.predict([TEXTS]), rtol=0, atol=1e-6)


def test_failed_conversion_names_the_repository_and_leaves_no_folder(hub: Hub, graph: Path, tmp_path: Path) -> None:
    (graph / "onnx" / "model.onnx_data").unlink()
    hub.repositories[MODEL] = graph
    with pytest.raises(mj.ConversionError) as caught:
        mj.SentenceEncoder(MODEL, cache_dir=tmp_path / "cache")
    assert "model.onnx_data" in str(caught.value)
    assert tempfile.gettempdir() not in str(caught.value).replace(str(tmp_path), "")
    assert not (tmp_path / "cache" / "hub" / "someone--tiny-encoder" / COMMIT).exists()


def test_onnx_is_converted_by_name(hub: Hub, graph: Path, tmp_path: Path) -> None:
    hub.repositories[MODEL] = graph
    done = command(hub, tmp_path, "convert", "onnx_to_flax", MODEL)
    assert "tiny-encoder-flax" in done.stdout, done.stderr
    record = json.loads((tmp_path / "tiny-encoder-flax" / "conversion.json").read_text("utf-8"))
    assert record["tokenizer_from"] == "tiny-encoder"
    hub.repositories["someone/safetensors"] = hub.repositories["sentence-transformers/tiny-encoder"]
    done = command(hub, tmp_path, "convert", "onnx_to_flax", "someone/safetensors")
    assert "run `python -m convert safetensors_to_flax someone/safetensors`" in done.stderr


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
