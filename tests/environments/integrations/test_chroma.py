"""Chroma: the vectors of its own default embedder, and a collection that is reopened by another process."""

import subprocess
import sys
from pathlib import Path

import chromadb
import numpy as np
import onnx
import pytest
from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2, known_embedding_functions
from safetensors.numpy import load_file

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.integrations.chroma import MinilmJaxEmbeddingFunction
from tests.environments.integrations.texts import TEXTS
from tests.exports.hydrate import hydrate
from tests.helpers.paths import EXPORTS

# Two float32 computations of one graph, of which one pads all texts to 256 tokens.
TOLERANCE = 1e-5


@pytest.fixture
def default_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ONNXMiniLM_L6_V2:
    """Chroma's own embedder with the published graph, where it expects what it would have downloaded."""
    folder, model = tmp_path / "onnx", model_folder(DEFAULT_MODEL)
    folder.mkdir()
    onnx.save(hydrate(EXPORTS / "hub.onnx.gz", load_file(model / "model.safetensors")), folder / "model.onnx")
    for name in ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).symlink_to(model / name)
    (folder / "vocab.txt").touch()  # Asked for, and not read.
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path)
    return ONNXMiniLM_L6_V2()


@pytest.mark.filterwarnings("ignore:.*longer than 256 tokens")
def test_the_vectors_are_those_of_the_default_embedder(default_embedder: ONNXMiniLM_L6_V2) -> None:
    texts = [*TEXTS, "A text of more than 256 tokens. " * 40]
    found, expected = MinilmJaxEmbeddingFunction()(texts), default_embedder(texts)
    assert {vector.dtype for vector in found} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_a_collection_is_reopened_by_another_process(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path))
    function = MinilmJaxEmbeddingFunction(precision="int8")
    client.create_collection("notes", embedding_function=function).add(ids=["a", "b"], documents=TEXTS[:2])
    reopen = f"""
import chromadb, minilm_jax.integrations.chroma
from tests.helpers.paths import EXPORTS
notes = chromadb.PersistentClient({str(tmp_path)!r}).get_collection("notes")
print(notes.configuration["embedding_function"].get_config(), notes.configuration["hnsw"]["space"])
print(notes.query(query_texts=["Someone makes music."], n_results=1)["ids"])
"""
    out = subprocess.run([sys.executable, "-c", reopen], check=True, capture_output=True, text=True).stdout
    assert out.splitlines() == [f"{function.get_config()} cosine", "[['b']]"]


def test_a_collection_keeps_its_model() -> None:
    collection = chromadb.EphemeralClient().create_collection("kept", embedding_function=MinilmJaxEmbeddingFunction())
    collection.modify(configuration={"embedding_function": MinilmJaxEmbeddingFunction(precision="int8")})
    with pytest.raises(mj.InputError, match="make a new collection"):
        collection.modify(configuration={"embedding_function": MinilmJaxEmbeddingFunction("another/model")})


def test_it_is_registered_and_made_again_from_its_config() -> None:
    function = MinilmJaxEmbeddingFunction("a/folder", "int8")
    again = known_embedding_functions[function.name()].build_from_config(function.get_config())
    assert again.get_config() == {"model": "a/folder", "precision": "int8"}


@pytest.mark.parametrize("texts", [[], "one string", [None]])
def test_bad_input_is_refused(texts: list[str]) -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxEmbeddingFunction()(texts)
