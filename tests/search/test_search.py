"""`minilm_jax.search` on vectors, beside what numpy finds by brute force."""

import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.errors import InputError
from minilm_jax.search.chunks import chunks

# Cosines of unit vectors, summed in another order.
TOLERANCE = 1e-6
D = 16


def vectors(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, D), np.float32)


def alike(count, seed=0):
    """Vectors around a few centres, many pairs of which are near."""
    centres = vectors(5, seed)[np.random.default_rng(seed).integers(5, size=count)]
    return (centres + 0.4 * vectors(count, seed + 1)).astype(np.float32)


def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(np.float64), b.astype(np.float64)))
    return a @ b.T


def ids(results):
    return [[hit["corpus_id"] for hit in hits] for hits in results]


# semantic_search


@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 3, "corpus_chunk_size": 7}, {"corpus_chunk_size": 2}])
def test_the_nearest_are_found_however_the_work_is_cut(sizes):
    queries, corpus = vectors(5, 1), vectors(50)
    results = search.semantic_search(queries, corpus, top_k=6, **sizes)
    expected = cosines(queries, corpus)
    assert ids(results) == np.argsort(-expected, axis=1)[:, :6].tolist()
    scores = [[hit["score"] for hit in hits] for hits in results]
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :6], atol=TOLERANCE)
    assert {type(value) for hit in results[0] for value in hit.values()} == {int, float}


@pytest.mark.parametrize("function", [search.dot_score, search.euclidean_sim, search.manhattan_sim])
def test_any_score_function_will_do(function):
    queries, corpus = vectors(3, 1), vectors(40)
    expected = np.argsort(-np.asarray(function(queries, corpus)), axis=1)[:, :4]
    assert ids(search.semantic_search(queries, corpus, top_k=4, score_function=function)) == expected.tolist()


def test_equal_scores_come_in_the_order_of_the_corpus():
    corpus = np.tile(vectors(3), (5, 1))
    results = search.semantic_search(corpus[1], corpus, corpus_chunk_size=4, top_k=5)
    assert ids(results) == [[1, 4, 7, 10, 13]]


def test_one_query_may_be_one_vector_and_vectors_may_be_lists():
    corpus = vectors(9)
    assert ids(search.semantic_search(corpus[4].tolist(), corpus.tolist(), top_k=1)) == [[4]]


@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16"])
def test_vectors_may_be_of_other_types_and_on_a_device(kind):
    corpus = jnp.asarray(vectors(9)).astype(kind) if kind == "bfloat16" else vectors(9).astype(kind)
    assert ids(search.semantic_search(corpus[4], corpus, top_k=1)) == [[4]]


def test_a_corpus_smaller_than_top_k_is_all_found():
    assert [len(hits) for hits in search.semantic_search(vectors(2, 1), vectors(3), top_k=10)] == [3, 3]


def test_an_empty_corpus_and_no_query():
    assert search.semantic_search(vectors(2), np.empty((0, D))) == [[], []]
    assert search.semantic_search(vectors(2), []) == [[], []]
    assert search.semantic_search([], vectors(2)) == []


def test_a_zero_vector_is_like_nothing():
    corpus = np.stack([np.zeros(D, np.float32), vectors(1)[0]])
    hits = search.semantic_search(corpus[1], corpus)[0]
    assert hits[1] == {"corpus_id": 0, "score": 0.0}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [search.cos_sim, search.dot_score])
def test_what_is_not_finite_is_refused_by_its_place(value, function):
    corpus = vectors(9)
    corpus[6, 2] = value
    with pytest.raises(InputError, match="query 0 and row 6 of the corpus is not a finite number"):
        search.semantic_search(vectors(2, 1), corpus, corpus_chunk_size=4, score_function=function)
    with pytest.raises(InputError, match="query 6 and row 0 of the corpus is not a finite number"):
        search.semantic_search(corpus, vectors(2, 1), query_chunk_size=4, score_function=function)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k, query_chunk_size and corpus_chunk_size must be at least 1"),
        ({"corpus_chunk_size": 0}, "must be at least 1"),
        ({"corpus_chunk_size": -1}, "must be at least 1"),
        ({"corpus_embeddings": vectors(3)[:, 1:]}, "the queries have 16 dimensions, the corpus 15"),
        ({"corpus_embeddings": np.zeros((2, 2, D))}, r"float64\[2, 2, 16\] is no array of vectors"),
        ({"corpus_embeddings": ["a", "b"]}, r"<U1\[2\] is no array of vectors"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        search.semantic_search(**{"query_embeddings": vectors(2), "corpus_embeddings": vectors(3), **arguments})


def test_chunks_bound_what_is_held_and_programs_serve_many_sizes():
    traced = []

    def score(a, b):
        traced.append((a.shape, b.shape))
        return search.dot_score(a, b)

    for queries, corpus, top_k in [(5, 30, 5), (7, 100, 6), (8, 333, 8), (40, 64, 7)]:
        list(search.nearest(vectors(queries, 1), vectors(corpus), top_k, score, 8, 16))
    assert set(traced) == {((8, D), (16, D))}
    assert len(traced) == 1


def test_on_a_device_chunks_are_slices_there():
    rows = jnp.asarray(vectors(10))
    parts = list(chunks(rows, 4))
    assert [(start, count) for start, count, _ in parts] == [(0, 4), (4, 4), (8, 2)]
    assert all(part.shape == (4, D) and isinstance(part, jnp.ndarray) for *_, part in parts)
    np.testing.assert_array_equal(jnp.concatenate([part for *_, part in parts])[:10], rows)


# paraphrase mining


def brute_pairs(embeddings, top_k, max_pairs):
    scores = cosines(embeddings, embeddings)
    np.fill_diagonal(scores, -np.inf)
    near = {(min(i, j), max(i, j)) for i, row in enumerate(scores) for j in np.argsort(-row)[:top_k].tolist() if i != j}
    return sorted(near, key=lambda pair: -scores[pair])[:max_pairs]


@pytest.mark.parametrize(("top_k", "max_pairs", "size"), [(100, 1000, 1024), (3, 1000, 8), (100, 20, 8), (2, 5, 30)])
def test_paraphrases(top_k, max_pairs, size):
    embeddings = alike(30)
    found = search.paraphrase_mining_embeddings(embeddings, size, size, max_pairs, top_k)
    assert [(i, j) for _, i, j in found] == brute_pairs(embeddings, top_k, max_pairs)
    expected = cosines(embeddings, embeddings)
    np.testing.assert_allclose([s for s, *_ in found], [expected[i, j] for _, i, j in found], atol=TOLERANCE)
    assert [type(value) for value in found[0]] == [float, int, int]


def test_a_text_and_its_copies_are_pairs_but_never_with_itself():
    found = search.paraphrase_mining_embeddings(np.tile(vectors(1), (4, 1)), top_k=2)
    assert all(i < j for _, i, j in found)
    assert {i for _, *pair in found for i in pair} == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [0, 1])
def test_there_is_no_pair_of_less_than_two(count):
    assert search.paraphrase_mining_embeddings(vectors(count)) == []


def test_texts_are_embedded_as_asked_and_paired():
    class Model:
        def encode(self, texts, **options):
            self.options = options
            return np.array([[1, len(text)] for text in texts], np.float32)

    model = Model()
    found = search.paraphrase_mining(model, ("aaaa", "b", "cccc"), batch_size=2, truncate_dim=2, max_pairs=1)
    assert [pair[1:] for pair in found] == [[0, 2]]
    assert model.options == {"batch_size": 2, "show_progress_bar": False, "truncate_dim": 2}


@pytest.mark.parametrize("arguments", [{"max_pairs": 0}, {"top_k": -1}])
def test_pairs_in_no_number_are_refused(arguments):
    with pytest.raises(InputError, match="must be at least 1"):
        search.paraphrase_mining_embeddings(vectors(2), **arguments)


# communities


def brute_communities(embeddings, threshold, smallest):
    scores = cosines(embeddings, embeddings)
    near = [[j for j in np.argsort(-row).tolist() if row[j] >= threshold] for row in scores]
    taken, groups = set(), []
    for centre in sorted(range(len(near)), key=lambda i: -len(near[i])):
        members = [j for j in near[centre] if j not in taken]
        if centre not in taken and len(near[centre]) >= smallest and len(members) >= smallest:
            groups.append(members)
            taken.update(members)
    return sorted(groups, key=len, reverse=True)


@pytest.mark.parametrize(("threshold", "smallest", "size"), [(0.75, 3, 1024), (0.85, 2, 16), (0.6, 10, 7)])
@pytest.mark.parametrize("held", [2**24, 150])
def test_communities(threshold, smallest, size, held, monkeypatch):
    monkeypatch.setattr("minilm_jax.search.communities._MOST_COSINES", held)
    embeddings = alike(60)
    found = search.community_detection(embeddings, threshold, smallest, size)
    assert found == brute_communities(embeddings, threshold, smallest)
    assert len(found) > 1


def test_no_more_is_held_for_communities_than_there_is(monkeypatch):
    shapes = []

    def cosines_of(a, b):
        shapes.append((a.shape, b.shape))
        return search.cos_sim(a, b)

    monkeypatch.setattr("minilm_jax.search.communities._cosines", cosines_of)
    search.community_detection(vectors(5), 0.0, 1)
    assert set(shapes) == {((8, D), (8, D))}


def test_copies_are_one_community_and_what_stands_alone_is_none():
    embeddings = np.concatenate([np.tile(vectors(1), (5, 1)), vectors(3, seed=9), np.zeros((3, D), np.float32)])
    assert list(map(sorted, search.community_detection(embeddings, 0.99, 3))) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_vectors_are_no_community(count):
    assert search.community_detection(vectors(count), 0, min_community_size=4) == []


def test_a_community_of_what_is_not_finite_is_refused():
    embeddings = vectors(9)
    embeddings[7, 0] = np.nan
    with pytest.raises(InputError, match="embedding 7 has NaN or infinity"):
        search.community_detection(embeddings, batch_size=4)
    with pytest.raises(InputError, match="must be at least 1"):
        search.community_detection(vectors(9), min_community_size=0)


# binary vectors


def test_candidates_by_their_bits_are_rescored_by_the_float_query():
    queries, corpus = vectors(3, 1), vectors(60)
    bits = corpus > 0
    hamming = ((queries > 0)[:, None] != bits[None]).sum(-1)
    results = search.semantic_search_binary(queries, np.packbits(bits, axis=1), top_k=4, rescore_multiplier=3)
    for query, near, hits in zip(queries, hamming, results, strict=True):
        candidates = np.argsort(near, kind="stable")[:12]
        scores = bits[candidates] @ query
        assert [hit["corpus_id"] for hit in hits] == candidates[np.argsort(-scores)[:4]].tolist()
        np.testing.assert_allclose([hit["score"] for hit in hits], -np.sort(-scores)[:4], atol=1e-5)


def test_signed_binary_vectors_are_the_same_less_128():
    unsigned = np.packbits(vectors(60) > 0, axis=1)
    signed = (unsigned.astype(np.int16) - 128).astype(np.int8)
    query = vectors(1, 1)[0]
    assert search.semantic_search_binary(query, signed) == search.semantic_search_binary(query, unsigned)


def test_bits_beyond_the_last_dimension_do_not_count():
    corpus = vectors(20)[:, :13]
    results = search.semantic_search_binary(corpus, np.packbits(corpus > 0, axis=1), top_k=20, rescore_multiplier=1)
    assert sorted(ids(results)[0]) == list(range(20))


@pytest.mark.parametrize(
    ("queries", "corpus", "message"),
    [
        (vectors(1), vectors(3), "the corpus is float32; binary vectors are uint8 or int8"),
        (vectors(1), np.zeros((3, 3), np.uint8), "the queries have 2 dimensions, the corpus 3"),
        (np.full(D, np.nan), np.zeros((3, 2), np.uint8), "NaN or infinity"),
    ],
)
def test_what_is_not_binary_is_refused(queries, corpus, message):
    with pytest.raises(InputError, match=message):
        search.semantic_search_binary(queries, corpus)
