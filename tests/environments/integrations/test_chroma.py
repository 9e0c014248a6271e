"""Chroma: comparison with its default embedding function, and collections that another process opens."""

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
from tests.helpers.tolerances import OTHER_RUNTIME_VECTORS


@pytest.fixture
def default_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ONNXMiniLM_L6_V2:
    """Chroma's default embedding function, with the published ONNX file at the path where it would download it."""
    folder, model = tmp_path / "onnx", model_folder(DEFAULT_MODEL)
    folder.mkdir()
    onnx.save(hydrate(EXPORTS / "hub.onnx.gz", load_file(model / "model.safetensors")), folder / "model.onnx")
    for name in ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).symlink_to(model / name)
    (folder / "vocab.txt").touch()  # It must exist, but is not read.
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path)
    return ONNXMiniLM_L6_V2()


@pytest.mark.filterwarnings("ignore:.*longer than 256 tokens")
def test_vectors_equal_those_of_the_default_embedding_function(default_embedder: ONNXMiniLM_L6_V2) -> None:
    texts = [*TEXTS, "A text of more than 256 tokens. " * 40]
    found, expected = MinilmJaxEmbeddingFunction()(texts), default_embedder(texts)
    assert {vector.dtype for vector in found} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found, expected, atol=OTHER_RUNTIME_VECTORS)


def test_collection_is_reopened_by_another_process(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path))
    function = MinilmJaxEmbeddingFunction(precision="int8")
    client.create_collection("notes", embedding_function=function).add(ids=["a", "b"], documents=TEXTS[:2])
    reopen = f"""
import chromadb, minilm_jax.integrations.chroma
notes = chromadb.PersistentClient({str(tmp_path)!r}).get_collection("notes")
print(notes.configuration["embedding_function"].get_config(), notes.configuration["hnsw"]["space"])
print(notes.query(query_texts=["Someone makes music."], n_results=1)["ids"])
"""
    out = subprocess.run([sys.executable, "-c", reopen], check=True, capture_output=True, text=True).stdout
    assert out.splitlines() == [f"{function.get_config()} cosine", "[['b']]"]


def test_collection_rejects_another_model() -> None:
    collection = chromadb.EphemeralClient().create_collection("kept", embedding_function=MinilmJaxEmbeddingFunction())
    collection.modify(configuration={"embedding_function": MinilmJaxEmbeddingFunction(precision="int8")})
    with pytest.raises(mj.InputError, match="create a new collection"):
        collection.modify(configuration={"embedding_function": MinilmJaxEmbeddingFunction("another/model")})


def test_embedding_function_is_registered_and_built_from_its_config() -> None:
    function = MinilmJaxEmbeddingFunction("a/folder", "int8")
    rebuilt = known_embedding_functions[function.name()].build_from_config(function.get_config())
    assert rebuilt.get_config() == {"model": "a/folder", "precision": "int8"}


@pytest.mark.parametrize("texts", [[], "one string", [None]])
def test_embedding_function_rejects_invalid_texts(texts: list[str]) -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxEmbeddingFunction()(texts)
