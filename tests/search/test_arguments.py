"""Arguments of `minilm_jax.search`: integers of any type; packed bits and other values are not taken for vectors."""

import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.errors import InputError

D = 16


def vectors(count):
    return np.random.default_rng(0).standard_normal((count, D), np.float32)


@pytest.mark.parametrize("number", [np.int64(2), np.uint8(2), np.array(2), jnp.asarray(2)], ids=repr)
def test_sizes_may_be_integers_of_any_type(number):
    found = search.semantic_search(vectors(1), vectors(5), number, number, number)
    assert found == search.semantic_search(vectors(1), vectors(5), top_k=2)
    bits = search.quantize_embeddings(vectors(5), "ubinary")
    assert len(search.semantic_search_binary(vectors(1), bits, number, number)[0]) == 2
    assert search.community_detection(vectors(5), 0.99, number, number) == []
    assert len(search.paraphrase_mining_embeddings(vectors(5), number, number, number, number)) == 2


@pytest.mark.parametrize("size", ["2", 2.0, None])
def test_sizes_that_are_not_integers_raise_error(size):
    with pytest.raises(InputError, match=r"top_k is .*; it must be an integer"):
        search.semantic_search(vectors(1), vectors(5), top_k=size)


COMPARISONS = (
    search.cos_sim,
    search.dot_score,
    search.euclidean_sim,
    search.manhattan_sim,
    search.pairwise_cos_sim,
    search.pairwise_dot_score,
    search.pairwise_euclidean_sim,
    search.pairwise_manhattan_sim,
    search.semantic_search,
    lambda a, b: search.paraphrase_mining_embeddings(a),
    lambda a, b: search.community_detection(a),
    lambda a, b: search.semantic_search(a, b, score_function=search.dot_score),
)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_packed_bits_are_not_compared_as_bytes(compare, as_array):
    bits = as_array(search.quantize_embeddings(vectors(3), "ubinary"))
    with pytest.raises(InputError, match="Compare packed bits with semantic_search_binary or hamming_sim"):
        compare(bits, bits)


def test_float_queries_of_packed_bits_name_the_right_function():
    with pytest.raises(InputError, match="semantic_search_binary"):
        search.semantic_search(vectors(3), search.quantize_embeddings(vectors(3), "ubinary"))


@pytest.mark.parametrize("not_vectors", ["a", None, ["a", "b"], [[1, 2], [3]], np.zeros((2, D), complex)])
def test_values_that_are_not_vectors_raise_error(not_vectors):
    with pytest.raises(InputError, match=r"pass (real )?numbers"):
        search.cos_sim(not_vectors, not_vectors)
