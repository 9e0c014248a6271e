"""`minilm_jax.search` compared with brute force in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.errors import InputError
from minilm_jax.search.tiles import tiles
from tests.helpers.random_vectors import D, clustered, cosines, vectors
from tests.helpers.tolerances import RESCORED_BINARY, UNIT_VECTORS

# More queries than NumPy computes: see test_few_queries.py.
MANY = 17


def ids(results):
    return [[hit["corpus_id"] for hit in hits] for hits in results]


# semantic_search


@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 3, "corpus_chunk_size": 7}, {"corpus_chunk_size": 2}])
@pytest.mark.parametrize("count", [5, MANY])
def test_semantic_search_finds_the_nearest_with_any_chunk_sizes(count, sizes):
    queries, corpus = vectors(count, 1), vectors(50)
    results = search.semantic_search(queries, corpus, top_k=6, **sizes)
    expected = cosines(queries, corpus)
    assert ids(results) == np.argsort(-expected, axis=1)[:, :6].tolist()
    scores = [[hit["score"] for hit in hits] for hits in results]
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :6], atol=UNIT_VECTORS)
    assert {type(value) for hit in results[0] for value in hit.values()} == {int, float}


@pytest.mark.parametrize("function", [search.dot_score, search.euclidean_sim, search.manhattan_sim])
def test_semantic_search_accepts_any_score_function(function):
    queries, corpus = vectors(3, 1), vectors(40)
    expected = np.argsort(-np.asarray(function(queries, corpus)), axis=1)[:, :4]
    assert ids(search.semantic_search(queries, corpus, top_k=4, score_function=function)) == expected.tolist()


@pytest.mark.parametrize("count", [1, MANY])
def test_semantic_search_returns_equal_scores_in_corpus_order(count):
    corpus = np.tile(vectors(3), (5, 1))
    results = search.semantic_search(np.tile(corpus[1], (count, 1)), corpus, corpus_chunk_size=4, top_k=5)
    assert ids(results) == [[1, 4, 7, 10, 13]] * count


def test_semantic_search_accepts_one_vector_and_lists():
    corpus = vectors(9)
    assert ids(search.semantic_search(corpus[4].tolist(), corpus.tolist(), top_k=1)) == [[4]]


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_semantic_search_accepts_other_dtypes_and_jax_arrays(dtype):
    corpus = jnp.asarray(vectors(9)).astype(dtype) if dtype == "bfloat16" else vectors(9).astype(dtype)
    assert ids(search.semantic_search(corpus[4], corpus, top_k=1)) == [[4]]


def test_semantic_search_returns_the_whole_corpus_if_it_is_smaller_than_top_k():
    assert [len(hits) for hits in search.semantic_search(vectors(2, 1), vectors(3), top_k=10)] == [3, 3]


def test_semantic_search_of_an_empty_corpus_or_no_queries_is_empty():
    assert search.semantic_search(vectors(2), np.empty((0, D))) == [[], []]
    assert search.semantic_search(vectors(2), []) == [[], []]
    assert search.semantic_search([], vectors(2)) == []


def test_semantic_search_scores_a_zero_vector_as_0():
    corpus = np.stack([np.zeros(D, np.float32), vectors(1)[0]])
    hits = search.semantic_search(corpus[1], corpus)[0]
    assert hits[1] == {"corpus_id": 0, "score": 0.0}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [search.cos_sim, search.dot_score])
@pytest.mark.parametrize("count", [2, MANY])
def test_semantic_search_names_the_rows_of_a_score_that_is_not_finite(count, value, function):
    corpus = vectors(9)
    corpus[6, 2] = value
    with pytest.raises(InputError, match="query 0 and row 6 of the corpus is not a finite number"):
        search.semantic_search(vectors(count, 1), corpus, corpus_chunk_size=4, score_function=function)
    with pytest.raises(InputError, match="query 6 and row 0 of the corpus is not a finite number"):
        search.semantic_search(corpus, vectors(2, 1), query_chunk_size=4, score_function=function)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"corpus_chunk_size": 0}, "corpus_chunk_size is 0; it must be at least 1"),
        ({"corpus_chunk_size": -1}, "must be at least 1"),
        ({"corpus_embeddings": vectors(3)[:, 1:]}, "the queries have 16 dimensions, the corpus 15"),
        ({"corpus_embeddings": np.zeros((2, 2, D))}, r"float64\[2, 2, 16\] is not an array of vectors"),
        ({"corpus_embeddings": [[1], [1, 2]]}, "the vectors have different sizes"),
        ({"corpus_embeddings": ["a", "b"]}, r"<U1\[2\] is not an array of vectors"),
    ],
)
def test_semantic_search_rejects_invalid_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        search.semantic_search(**{"query_embeddings": vectors(2), "corpus_embeddings": vectors(3), **arguments})


def test_nearest_compiles_one_program_for_many_sizes():
    traced = []

    def score(a, b):
        traced.append((a.shape, b.shape))
        return search.dot_score(a, b)

    for queries, corpus, top_k in [(5, 30, 5), (7, 100, 6), (8, 333, 8), (40, 64, 7)]:
        list(search.nearest(vectors(queries, 1), vectors(corpus), top_k, score, 8, 16))
    assert set(traced) == {((8, D), (16, D))}
    assert len(traced) == 1


def test_tiles_of_a_jax_array_are_slices_on_its_device():
    rows = jnp.asarray(vectors(10))
    parts = list(tiles(rows, 4))
    assert [(tile.start, tile.valid) for tile in parts] == [(0, 4), (4, 4), (8, 2)]
    assert all(tile.rows.shape == (4, D) and isinstance(tile.rows, jnp.ndarray) for tile in parts)
    np.testing.assert_array_equal(jnp.concatenate([tile.rows for tile in parts])[:10], rows)


# paraphrase_mining


def brute_force_pairs(embeddings, top_k, max_pairs):
    scores = cosines(embeddings, embeddings)
    np.fill_diagonal(scores, -np.inf)
    near = {(min(i, j), max(i, j)) for i, row in enumerate(scores) for j in np.argsort(-row)[:top_k].tolist() if i != j}
    return sorted(near, key=lambda pair: -scores[pair])[:max_pairs]


@pytest.mark.parametrize(("top_k", "max_pairs", "size"), [(100, 1000, 1024), (3, 1000, 8), (100, 20, 8), (2, 5, 30)])
def test_paraphrase_mining_finds_the_pairs_of_a_brute_force_search(top_k, max_pairs, size):
    embeddings = clustered(30)
    found = search.paraphrase_mining_embeddings(embeddings, size, size, max_pairs, top_k)
    assert [(i, j) for _, i, j in found] == brute_force_pairs(embeddings, top_k, max_pairs)
    expected = cosines(embeddings, embeddings)
    np.testing.assert_allclose([s for s, *_ in found], [expected[i, j] for _, i, j in found], atol=UNIT_VECTORS)
    assert [type(value) for value in found[0]] == [float, int, int]


def test_paraphrase_mining_pairs_duplicates_but_no_text_with_itself():
    found = search.paraphrase_mining_embeddings(np.tile(vectors(1), (4, 1)), top_k=2)
    assert all(i < j for _, i, j in found)
    assert {i for _, *pair in found for i in pair} == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [0, 1])
def test_paraphrase_mining_of_fewer_than_two_vectors_is_empty(count):
    assert search.paraphrase_mining_embeddings(vectors(count)) == []


def test_paraphrase_mining_passes_its_options_to_encode():
    class Model:
        def encode(self, texts, **options):
            self.options = options
            return np.array([[1, len(text)] for text in texts], np.float32)

    model = Model()
    found = search.paraphrase_mining(model, ("aaaa", "b", "cccc"), batch_size=2, truncate_dim=2, max_pairs=1)
    assert [pair[1:] for pair in found] == [[0, 2]]
    assert model.options == {"batch_size": 2, "show_progress_bar": False, "truncate_dim": 2}


@pytest.mark.parametrize("arguments", [{"max_pairs": 0}, {"top_k": -1}])
def test_paraphrase_mining_rejects_sizes_below_1(arguments):
    with pytest.raises(InputError, match="must be at least 1"):
        search.paraphrase_mining_embeddings(vectors(2), **arguments)


def test_paraphrase_mining_does_not_compare_packed_bits_by_cosine():
    with pytest.raises(InputError, match="pass score_function=hamming_sim"):
        search.paraphrase_mining(None, ["a", "b"], precision="binary")


# semantic_search_binary


@pytest.mark.parametrize(
    ("a", "b"), [(np.uint8, np.int8), (np.int8, np.uint8), (np.float32, np.float32), (np.int32, np.int32)]
)
def test_hamming_distance_of_vectors_that_are_not_the_same_kind_of_bits_is_rejected(a, b):
    with pytest.raises(InputError, match="pass packed bits of one precision"):
        search.hamming_sim(np.zeros((2, 4), a), np.zeros((3, 4), b))
    with pytest.raises(InputError, match="pass packed bits of one precision"):
        search.hamming_sim(np.zeros((2, 4), np.uint8), np.zeros((3, 8), np.uint8))


def test_binary_search_rescores_the_candidates_with_the_float_query():
    queries, corpus = vectors(3, 1), vectors(60)
    bits = corpus > 0
    hamming = ((queries > 0)[:, None] != bits[None]).sum(-1)
    results = search.semantic_search_binary(queries, np.packbits(bits, axis=1), top_k=4, rescore_multiplier=3)
    for query, near, hits in zip(queries, hamming, results, strict=True):
        candidates = np.argsort(near, kind="stable")[:12]
        scores = bits[candidates] @ query
        assert [hit["corpus_id"] for hit in hits] == candidates[np.argsort(-scores)[:4]].tolist()
        np.testing.assert_allclose([hit["score"] for hit in hits], -np.sort(-scores)[:4], atol=RESCORED_BINARY)


def test_binary_search_gives_equal_results_for_signed_and_unsigned_vectors():
    unsigned = np.packbits(vectors(60) > 0, axis=1)
    signed = (unsigned.astype(np.int16) - 128).astype(np.int8)
    query = vectors(1, 1)[0]
    assert search.semantic_search_binary(query, signed) == search.semantic_search_binary(query, unsigned)


def test_binary_search_ignores_padding_bits_after_the_last_dimension():
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
def test_binary_search_rejects_invalid_vectors(queries, corpus, message):
    with pytest.raises(InputError, match=message):
        search.semantic_search_binary(queries, corpus)
