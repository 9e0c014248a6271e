"""`minilm_jax.search` beside the functions of sentence-transformers that it is named after, on the same vectors."""

import numpy as np
import pytest
import torch
from sentence_transformers import util
from sentence_transformers.util.quantization import semantic_search_usearch

from minilm_jax import search
from minilm_jax.errors import SearchIndexError

# float32 sums of products of numbers below one, in another order.
TOLERANCE = 1e-5
# torch finds the distances of many vectors from their products, which loses digits where they are near.
DISTANCE_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def corpus():
    """Unit vectors around 200 centres, and a zero among them."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 384))
    vectors = centres[rng.integers(200, size=3_000)] + 0.5 * rng.standard_normal((3_000, 384))
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
        ("cos_sim", TOLERANCE),
        ("dot_score", TOLERANCE),
        ("euclidean_sim", DISTANCE_TOLERANCE),
        ("manhattan_sim", DISTANCE_TOLERANCE),
    ],
)
def test_similarities(name, tolerance, corpus, queries):
    ours, theirs = getattr(search, name), getattr(util, name)
    np.testing.assert_allclose(ours(queries, corpus), theirs(queries, corpus), atol=tolerance)
    np.testing.assert_allclose(ours(queries[0], corpus[0]), theirs(queries[0], corpus[0]), atol=tolerance)
    pairwise, theirs = getattr(search, f"pairwise_{name}"), getattr(util, f"pairwise_{name}")
    np.testing.assert_allclose(pairwise(queries, corpus[:150]), theirs(queries, corpus[:150]), atol=tolerance)


@pytest.mark.parametrize("name", ["cos_sim", "dot_score", "euclidean_sim"])
@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 40, "corpus_chunk_size": 700}])
def test_semantic_search(name, sizes, corpus, queries):
    ours = search.semantic_search(queries, corpus, score_function=getattr(search, name), top_k=5, **sizes)
    theirs = util.semantic_search(
        torch.tensor(queries), torch.tensor(corpus), score_function=getattr(util, name), top_k=5, **sizes
    )
    assert_same_hits(ours, theirs, DISTANCE_TOLERANCE)


@pytest.mark.parametrize("count", [1, 4])
def test_semantic_search_of_less_than_top_k(count, corpus, queries):
    ours, theirs = (each.semantic_search(queries[0], corpus[:count], top_k=10) for each in (search, util))
    assert_same_hits(ours, theirs, TOLERANCE)


@pytest.mark.parametrize(
    "sizes", [{}, {"max_pairs": 500}, {"top_k": 3, "query_chunk_size": 500, "corpus_chunk_size": 999}]
)
def test_paraphrase_mining(sizes, corpus):
    ours = search.paraphrase_mining_embeddings(corpus, **sizes)
    theirs = util.paraphrase_mining_embeddings(torch.tensor(corpus), **sizes)
    np.testing.assert_allclose([pair[0] for pair in ours], [pair[0] for pair in theirs], atol=TOLERANCE)
    by_score = {tuple(pair[1:]): pair[0] for pair in theirs}
    # Pairs whose scores are equal but for rounding come in either order, and at the end one or the other.
    last = theirs[-1][0] + TOLERANCE
    assert {tuple(pair[1:]) for pair in ours if pair[0] > last} == {
        pair for pair, score in by_score.items() if score > last
    }
    assert ours[0][1:] == theirs[0][1:]


@pytest.mark.parametrize(("threshold", "smallest", "size"), [(0.75, 10, 1024), (0.8, 2, 300), (0.82, 5, 1024)])
def test_community_detection(threshold, smallest, size, corpus):
    ours, theirs = (each.community_detection(corpus, threshold, smallest, size) for each in (search, util))
    assert len(ours) > 50
    assert ours == theirs


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
@pytest.mark.parametrize("multiplier", [2, 8])
def test_binary_vectors_rescored(precision, multiplier, corpus, queries):
    bits = search.quantize_embeddings(corpus, precision)
    ours = search.semantic_search_binary(queries, bits, top_k=5, rescore_multiplier=multiplier)
    theirs, _ = semantic_search_usearch(
        queries, bits, corpus_precision=precision, top_k=5, rescore_multiplier=multiplier, exact=True
    )
    # Which of the candidates with equally many bits in common are the last is for each to choose.
    same = np.isclose(columns("score", ours), columns("score", theirs), atol=TOLERANCE).all(axis=1)
    assert same.mean() > 0.9


def test_an_index_on_usearch(encoder, tmp_path):
    texts = [
        f"{count} {animal} {verb}" for count in ("two", "ten") for animal in ("cats", "dogs") for verb in ("run", "eat")
    ]
    index = search.SearchIndex.build(encoder, texts[:5], backend="usearch")
    index.add(texts[5:])
    exact = search.SearchIndex.build(encoder, texts)
    assert_same_hits(index.search(texts, 3), exact.search(texts, 3), TOLERANCE)
    index.save(tmp_path / "index")
    loaded = search.SearchIndex.load(tmp_path / "index", encoder)
    loaded.add(["one horse"])
    assert loaded.search("a horse", 1)[0]["corpus_id"] == 8
    assert len(loaded.matching(texts[:2]).search("cats", 10)) == 2


def test_a_damaged_graph_is_refused(encoder, tmp_path):
    search.SearchIndex.build(encoder, ["a", "b"], backend="usearch").save(tmp_path / "index")
    search.SearchIndex.build(encoder, ["a"], backend="usearch").save(tmp_path / "other")
    graph = tmp_path / "index" / "graph.usearch"
    for content in (b"", b"no graph", (tmp_path / "other" / "graph.usearch").read_bytes()):
        graph.write_bytes(content)
        with pytest.raises(SearchIndexError, match="build the index again"):
            search.SearchIndex.load(tmp_path / "index", encoder)
