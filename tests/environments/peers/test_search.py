"""`minilm_jax.search` compared with the functions of the same names in sentence-transformers."""

import numpy as np
import pytest
import torch
from sentence_transformers import util
from sentence_transformers.util.quantization import semantic_search_usearch

from minilm_jax import search
from minilm_jax.errors import SearchIndexError
from tests.helpers.tolerances import TORCH_DISTANCES, TORCH_SCORES


@pytest.fixture(scope="module")
def corpus():
    """Unit vectors around 200 centers, and one zero vector."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((200, 384))
    vectors = centers[rng.integers(200, size=3_000)] + 0.5 * rng.standard_normal((3_000, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[7] = 0
    return vectors.astype(np.float32)


@pytest.fixture(scope="module")
def queries(corpus):
    return corpus[100:250] + np.random.default_rng(1).normal(0, 0.02, (150, 384)).astype(np.float32)


def columns(name, results):
    return [[hit[name] for hit in hits] for hits in results]


def assert_same_hits(ours, theirs, tolerance):
    assert [[hit["corpus_id"] for hit in hits] for hits in ours] == [
        [hit["corpus_id"] for hit in hits] for hits in theirs
    ]
    scores = [[[hit["score"] for hit in hits] for hits in results] for results in (ours, theirs)]
    np.testing.assert_allclose(*scores, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("cos_sim", TORCH_SCORES),
        ("dot_score", TORCH_SCORES),
        ("euclidean_sim", TORCH_DISTANCES),
        ("manhattan_sim", TORCH_DISTANCES),
    ],
)
def test_similarities_equal_those_of_sentence_transformers(name, tolerance, corpus, queries):
    ours, theirs = getattr(search, name), getattr(util, name)
    np.testing.assert_allclose(ours(queries, corpus), theirs(queries, corpus), atol=tolerance)
    np.testing.assert_allclose(ours(queries[0], corpus[0]), theirs(queries[0], corpus[0]), atol=tolerance)
    pairwise, theirs = getattr(search, f"pairwise_{name}"), getattr(util, f"pairwise_{name}")
    np.testing.assert_allclose(pairwise(queries, corpus[:150]), theirs(queries, corpus[:150]), atol=tolerance)


@pytest.mark.parametrize("name", ["cos_sim", "dot_score", "euclidean_sim"])
@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 40, "corpus_chunk_size": 700}])
def test_semantic_search_finds_the_same_hits(name, sizes, corpus, queries):
    ours = search.semantic_search(queries, corpus, score_function=getattr(search, name), top_k=5, **sizes)
    theirs = util.semantic_search(
        torch.tensor(queries), torch.tensor(corpus), score_function=getattr(util, name), top_k=5, **sizes
    )
    assert_same_hits(ours, theirs, TORCH_DISTANCES)


@pytest.mark.parametrize("count", [1, 4])
def test_semantic_search_of_a_small_corpus_finds_the_same_hits(count, corpus, queries):
    ours, theirs = (each.semantic_search(queries[0], corpus[:count], top_k=10) for each in (search, util))
    assert_same_hits(ours, theirs, TORCH_SCORES)


@pytest.mark.parametrize(
    "sizes", [{}, {"max_pairs": 500}, {"top_k": 3, "query_chunk_size": 500, "corpus_chunk_size": 999}]
)
def test_paraphrase_mining_finds_the_same_pairs(sizes, corpus):
    ours = search.paraphrase_mining_embeddings(corpus, **sizes)
    theirs = util.paraphrase_mining_embeddings(torch.tensor(corpus), **sizes)
    np.testing.assert_allclose([pair[0] for pair in ours], [pair[0] for pair in theirs], atol=TORCH_SCORES)
    by_score = {tuple(pair[1:]): pair[0] for pair in theirs}
    # Pairs with equal scores up to rounding can be in another order, so the last ones are not compared.
    last = theirs[-1][0] + TORCH_SCORES
    assert {tuple(pair[1:]) for pair in ours if pair[0] > last} == {
        pair for pair, score in by_score.items() if score > last
    }
    assert ours[0][1:] == theirs[0][1:]


@pytest.mark.parametrize(("threshold", "smallest", "size"), [(0.75, 10, 1024), (0.8, 2, 300), (0.82, 5, 1024)])
def test_community_detection_finds_the_same_groups(threshold, smallest, size, corpus):
    ours, theirs = (each.community_detection(corpus, threshold, smallest, size) for each in (search, util))
    assert len(ours) > 50
    assert ours == theirs


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
@pytest.mark.parametrize("multiplier", [2, 8])
def test_semantic_search_binary_finds_the_same_scores(precision, multiplier, corpus, queries):
    bits = search.quantize_embeddings(corpus, precision)
    ours = search.semantic_search_binary(queries, bits, top_k=5, rescore_multiplier=multiplier)
    theirs, _ = semantic_search_usearch(
        queries, bits, corpus_precision=precision, top_k=5, rescore_multiplier=multiplier, exact=True
    )
    # Among candidates with equal Hamming distances, the implementations can choose different ones as the last.
    same = np.isclose(columns("score", ours), columns("score", theirs), atol=TORCH_SCORES).all(axis=1)
    assert same.mean() > 0.9


def test_usearch_index_finds_the_hits_of_an_exact_index(encoder, tmp_path):
    texts = [
        f"{count} {animal} {verb}" for count in ("two", "ten") for animal in ("cats", "dogs") for verb in ("run", "eat")
    ]
    index = search.SearchIndex.build(encoder, texts[:5], backend="usearch")
    index.add(texts[5:])
    exact = search.SearchIndex.build(encoder, texts)
    assert_same_hits(index.search(texts, 3), exact.search(texts, 3), TORCH_SCORES)
    index.save(tmp_path / "index")
    loaded = search.SearchIndex.load(tmp_path / "index", encoder)
    loaded.add(["one horse"])
    assert loaded.search("a horse", 1)[0]["corpus_id"] == 8
    assert len(loaded.matching(texts[:2]).search("cats", 10)) == 2


def test_load_rejects_a_damaged_usearch_graph(encoder, tmp_path):
    search.SearchIndex.build(encoder, ["a", "b"], backend="usearch").save(tmp_path / "index")
    search.SearchIndex.build(encoder, ["a"], backend="usearch").save(tmp_path / "other")
    graph = tmp_path / "index" / "graph.usearch"
    for content in (b"", b"no graph", (tmp_path / "other" / "graph.usearch").read_bytes()):
        graph.write_bytes(content)
        with pytest.raises(SearchIndexError, match="build the index again"):
            search.SearchIndex.load(tmp_path / "index", encoder)
