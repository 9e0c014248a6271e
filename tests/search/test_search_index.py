"""`SearchIndex` with the real model: results of a search, reuse of vectors, and saved indexes."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minilm_jax as mj
from minilm_jax.errors import InputError, SearchIndexError
from minilm_jax.search import SearchIndex
from tests.helpers.tolerances import UNIT_VECTORS

TEXTS = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "The new movie is awesome.",
    "A kitten naps.",
]


@pytest.fixture
def index(encoder):
    return SearchIndex.build(encoder, TEXTS)


def count_embedded(encoder, work):
    """Return the result of `work` and the number of texts that the encoder embedded for it."""
    before = encoder.stats.texts
    result = work()
    return result, encoder.stats.texts - before


def test_search_finds_texts_with_the_meaning_of_the_query(index):
    hits = index.search("a sleepy young cat", top_k=2)
    assert [(hit["corpus_id"], hit["text"]) for hit in hits] == [(3, TEXTS[3]), (0, TEXTS[0])]
    assert hits[0]["score"] > hits[1]["score"] > 0.3


def test_search_returns_one_list_of_hits_per_query(index):
    results = index.search(["music", "cinema"], top_k=100)
    assert [hits[0]["corpus_id"] for hits in results] == [1, 2]
    assert [len(hits) for hits in results] == [4, 4]
    assert index.search([]) == []


def test_index_vectors_equal_those_of_the_encoder(index, encoder):
    np.testing.assert_allclose(index.vectors, encoder.encode(TEXTS, normalize_embeddings=True), atol=UNIT_VECTORS)


def test_add_appends_texts_and_embeds_only_new_ones(index, encoder):
    _, embedded = count_embedded(encoder, lambda: index.add(["Dogs bark.", TEXTS[0], "Dogs bark."]))
    assert embedded == 1
    assert index.texts == [*TEXTS, "Dogs bark.", TEXTS[0], "Dogs bark."]
    np.testing.assert_array_equal(index.vectors[5], index.vectors[0])
    assert [hit["corpus_id"] for hit in index.search("Dogs bark.", top_k=2)] == [4, 6]


def test_matching_index_embeds_only_new_texts(index, encoder):
    changed = [TEXTS[2], "Dogs bark.", TEXTS[0]]
    other, embedded = count_embedded(encoder, lambda: index.matching(changed))
    assert embedded == 1
    assert other.texts == changed
    np.testing.assert_allclose(other.vectors, encoder.encode(changed, normalize_embeddings=True), atol=UNIT_VECTORS)
    assert index.matching(iter(TEXTS)) is index
    assert index.texts == TEXTS


def test_empty_index_finds_nothing(encoder, tmp_path):
    SearchIndex.build(encoder, []).save(tmp_path / "index")
    index = SearchIndex.load(tmp_path / "index", encoder)
    assert index.search("anything") == []
    index.add(["a"])
    assert len(index.search("anything")) == 1


def test_saved_index_is_loaded_unchanged(index, encoder, tmp_path):
    index.save(tmp_path / "deep" / "index")
    (loaded, embedded) = count_embedded(encoder, lambda: SearchIndex.load(tmp_path / "deep" / "index", encoder))
    assert embedded == 0
    assert loaded.texts == TEXTS
    np.testing.assert_array_equal(loaded.vectors, index.vectors)
    assert loaded.search("music") == index.search("music")
    loaded.add(["Line\nends “and” \u2028 signs"])
    loaded.save(tmp_path / "deep" / "index")
    assert SearchIndex.load(tmp_path / "deep" / "index", encoder).texts[-1] == "Line\nends “and” \u2028 signs"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index"]


def test_save_keeps_other_files_of_an_existing_folder(index, encoder, tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="is a file; choose a folder"):
        index.save(tmp_path / "thesis.txt")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        index.save(".")
    assert os.getcwd() == str(tmp_path)
    assert SearchIndex.load(".", encoder).texts == TEXTS
    assert sorted(os.listdir()) == ["index.json", "thesis.txt", "vectors.safetensors"]


@pytest.mark.parametrize("backend", ["faiss", ""])
def test_index_rejects_an_unknown_backend(encoder, backend):
    with pytest.raises(InputError, match="must be exact or usearch"):
        SearchIndex(encoder, backend)


def test_invalid_arguments_are_rejected_and_leave_the_index_unchanged(index):
    for texts, message in [("abc", "one string"), (["a", 1], "text 1 is int"), (["\ud800"], "surrogate")]:
        with pytest.raises(InputError, match=message):
            index.add(texts)
    with pytest.raises(InputError, match="top_k is 0"):
        index.search("a", top_k=0)
    assert (len(index), len(index.vectors)) == (4, 4)


@pytest.mark.parametrize(
    "change", [{"max_seq_length": 128}, {"truncate_dim": 100}, {"prompts": {"query": "query: "}}, {"precision": "int8"}]
)
def test_load_rejects_an_index_of_another_model(change, folder, index, tmp_path):
    index.save(tmp_path / "index")
    with pytest.raises(SearchIndexError, match="was built with another model, precision"):
        SearchIndex.load(tmp_path / "index", mj.SentenceEncoder(folder, **change))


def damaged_index(path):
    (path / "index.json").write_text('{"format": 1, "model"')


def fewer_texts(path):
    about = json.loads((path / "index.json").read_text())
    (path / "index.json").write_text(json.dumps({**about, "texts": TEXTS[:3]}))


def later_format(path):
    about = json.loads((path / "index.json").read_text())
    (path / "index.json").write_text(json.dumps({**about, "format": 2}))


def truncated_vectors(path):
    data = (path / "vectors.safetensors").read_bytes()
    (path / "vectors.safetensors").write_bytes(data[:-5])


def wide_vectors(path):
    vectors = load_file(path / "vectors.safetensors")["vectors"]
    save_file({"vectors": vectors.astype(np.float64)}, path / "vectors.safetensors")


@pytest.mark.parametrize("damage", [damaged_index, fewer_texts, later_format, truncated_vectors, wide_vectors])
def test_load_rejects_a_damaged_index(damage, index, encoder, tmp_path):
    index.save(tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(SearchIndexError, match=r"index is a damaged search index \(.+\); build it again"):
        SearchIndex.load(tmp_path / "index", encoder)


def test_load_rejects_a_folder_without_an_index(encoder, tmp_path):
    with pytest.raises(SearchIndexError, match="does not contain a search index"):
        SearchIndex.load(tmp_path, encoder)


def test_repr_of_an_index_shows_its_size_backend_and_encoder(index, encoder):
    assert repr(index) == f"SearchIndex(texts=4, dimensions=384, backend='exact', encoder={encoder!r})"
