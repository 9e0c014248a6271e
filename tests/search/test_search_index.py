"""`SearchIndex`, on the real model: what it finds, what it embeds, and what it keeps."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minilm_jax as mj
from minilm_jax.errors import InputError, SearchIndexError
from minilm_jax.fingerprint import fingerprint
from minilm_jax.search import SearchIndex

TEXTS = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "The new movie is awesome.",
    "A kitten naps.",
]
# Unit vectors embedded in another batch.
TOLERANCE = 1e-6


@pytest.fixture
def index(encoder):
    return SearchIndex.build(encoder, TEXTS)


def count(encoder, work):
    before = encoder.stats.texts
    result = work()
    return result, encoder.stats.texts - before


def test_it_finds_what_a_query_means(index):
    hits = index.search("a sleepy young cat", top_k=2)
    assert [(hit["corpus_id"], hit["text"]) for hit in hits] == [(3, TEXTS[3]), (0, TEXTS[0])]
    assert hits[0]["score"] > hits[1]["score"] > 0.3


def test_several_queries_have_a_list_of_hits_each(index):
    results = index.search(["music", "cinema"], top_k=100)
    assert [hits[0]["corpus_id"] for hits in results] == [1, 2]
    assert [len(hits) for hits in results] == [4, 4]
    assert index.search([]) == []


def test_vectors_are_those_of_the_encoder(index, encoder):
    np.testing.assert_allclose(index.vectors, encoder.encode(TEXTS, normalize_embeddings=True), atol=TOLERANCE)


def test_texts_can_be_added_and_known_ones_are_not_embedded_again(index, encoder):
    _, embedded = count(encoder, lambda: index.add(["Dogs bark.", TEXTS[0], "Dogs bark."]))
    assert embedded == 1
    assert index.texts == [*TEXTS, "Dogs bark.", TEXTS[0], "Dogs bark."]
    np.testing.assert_array_equal(index.vectors[5], index.vectors[0])
    assert [hit["corpus_id"] for hit in index.search("Dogs bark.", top_k=2)] == [4, 6]


def test_an_index_of_changed_texts_embeds_what_is_new(index, encoder):
    changed = [TEXTS[2], "Dogs bark.", TEXTS[0]]
    other, embedded = count(encoder, lambda: index.matching(changed))
    assert embedded == 1
    assert other.texts == changed
    np.testing.assert_allclose(other.vectors, encoder.encode(changed, normalize_embeddings=True), atol=TOLERANCE)
    assert index.matching(iter(TEXTS)) is index
    assert index.texts == TEXTS


def test_an_empty_index_finds_nothing(encoder, tmp_path):
    SearchIndex.build(encoder, []).save(tmp_path / "index")
    index = SearchIndex.load(tmp_path / "index", encoder)
    assert index.search("anything") == []
    index.add(["a"])
    assert len(index.search("anything")) == 1


def test_it_is_kept_whole(index, encoder, tmp_path):
    index.save(tmp_path / "deep" / "index")
    (loaded, embedded) = count(encoder, lambda: SearchIndex.load(tmp_path / "deep" / "index", encoder))
    assert embedded == 0
    assert loaded.texts == TEXTS
    np.testing.assert_array_equal(loaded.vectors, index.vectors)
    assert loaded.search("music") == index.search("music")
    loaded.add(["Line\nends “and” \u2028 signs"])
    loaded.save(tmp_path / "deep" / "index")
    assert SearchIndex.load(tmp_path / "deep" / "index", encoder).texts[-1] == "Line\nends “and” \u2028 signs"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index"]


def test_what_is_no_index_is_not_overwritten(index, tmp_path):
    (tmp_path / "thesis.txt").touch()
    for path in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(InputError, match="is no search index and would be lost"):
            index.save(path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("backend", ["faiss", ""])
def test_an_unknown_backend_is_refused(encoder, backend):
    with pytest.raises(InputError, match="must be exact or usearch"):
        SearchIndex(encoder, backend)


def test_what_cannot_be_indexed_is_refused_and_nothing_added(index):
    for texts, message in [("abc", "one string"), (["a", 1], "text 1 is int"), (["\ud800"], "surrogate")]:
        with pytest.raises(InputError, match=message):
            index.add(texts)
    with pytest.raises(InputError, match="top_k is 0"):
        index.search("a", top_k=0)
    assert (len(index), len(index.vectors)) == (4, 4)


@pytest.mark.parametrize(
    "change", [{"max_seq_length": 128}, {"truncate_dim": 100}, {"prompts": {"query": "query: "}}, {"precision": "int8"}]
)
def test_an_index_of_another_model_is_refused(change, folder, index, tmp_path):
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


def cut_vectors(path):
    data = (path / "vectors.safetensors").read_bytes()
    (path / "vectors.safetensors").write_bytes(data[:-5])


def wide_vectors(path):
    vectors = load_file(path / "vectors.safetensors")["vectors"]
    save_file({"vectors": vectors.astype(np.float64)}, path / "vectors.safetensors")


@pytest.mark.parametrize("damage", [damaged_index, fewer_texts, later_format, cut_vectors, wide_vectors])
def test_a_damaged_index_is_refused(damage, index, encoder, tmp_path):
    index.save(tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(SearchIndexError, match=r"index is a damaged search index \(.+\); build it again"):
        SearchIndex.load(tmp_path / "index", encoder)


def test_a_folder_without_an_index_is_refused(encoder, tmp_path):
    with pytest.raises(SearchIndexError, match="holds no search index"):
        SearchIndex.load(tmp_path, encoder)


def test_the_fingerprint_is_of_what_makes_vectors(encoder):
    assert fingerprint(encoder) == fingerprint(mj.SentenceEncoder.from_pretrained())
    without_pooler = {name: leaf for name, leaf in encoder.params.items() if name != "pooler"}
    assert fingerprint(encoder) == fingerprint(mj.SentenceEncoder(without_pooler, encoder.config, encoder.tokenizer))
