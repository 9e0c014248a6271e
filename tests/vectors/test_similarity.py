"""Similarity functions compared with NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.errors import InputError
from tests.helpers.tolerances import SHORT_VECTOR_SCORES


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


REFERENCES = {
    "cos_sim": lambda a, b: (unit(a) * unit(b)).sum(-1),
    "dot_score": lambda a, b: (a * b).sum(-1),
    "euclidean_sim": lambda a, b: -np.sqrt(((a - b) ** 2).sum(-1)),
    "manhattan_sim": lambda a, b: -np.abs(a - b).sum(-1),
}


@pytest.fixture
def a():
    return np.random.default_rng(0).standard_normal((5, 24))


@pytest.fixture
def b():
    return np.random.default_rng(1).standard_normal((7, 24))


@pytest.mark.parametrize("name", REFERENCES)
def test_similarity_of_all_pairs_agrees_with_float64(name, a, b):
    found = getattr(search, name)(a, b)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, REFERENCES[name](a[:, None], b[None]), atol=SHORT_VECTOR_SCORES)


@pytest.mark.parametrize("name", REFERENCES)
def test_pairwise_similarity_agrees_with_float64(name, a, b):
    pairwise = getattr(search, f"pairwise_{name}")
    np.testing.assert_allclose(pairwise(a, b[:5]), REFERENCES[name](a, b[:5]), atol=SHORT_VECTOR_SCORES)
    assert pairwise(a[0], b[0]).shape == ()


@pytest.mark.parametrize("dtype", ["list", "float16", "int8", "bfloat16"])
def test_similarity_accepts_lists_and_other_dtypes(dtype, a, b):
    a, b = (3 * a).round(), (3 * b).round()
    found = search.dot_score(*(x.tolist() if dtype == "list" else jnp.asarray(x).astype(dtype) for x in (a, b)))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, a @ b.T)


@pytest.mark.parametrize("name", REFERENCES)
def test_similarity_treats_one_vector_as_one_row(name, a, b):
    assert getattr(search, name)(a[0], b[0]).shape == (1, 1)
    assert getattr(search, name)(a[0], b).shape == (1, 7)


@pytest.mark.parametrize("name", REFERENCES)
def test_similarity_works_under_jit_grad_and_vmap(name, a, b):
    similarity = getattr(search, name)
    gradient = jax.grad(lambda x: jax.jit(similarity)(x, x).sum())(jnp.asarray(a))
    assert jnp.isfinite(gradient).all()
    rows = jax.vmap(lambda x: similarity(x, b)[0])(jnp.asarray(a))
    assert jnp.abs(similarity(a, b) - rows).max() < SHORT_VECTOR_SCORES


def test_distance_of_equal_vectors_is_0(a):
    assert (jnp.diagonal(search.euclidean_sim(a, a)) == 0).all()
    assert (jnp.diagonal(search.manhattan_sim(a, a)) == 0).all()


def test_cosine_of_a_zero_vector_is_0(b):
    assert (search.cos_sim(np.zeros(24), b) == 0).all()
    assert search.pairwise_cos_sim(np.zeros(24), b[0]) == 0


@pytest.mark.parametrize("name", REFERENCES)
def test_similarity_rejects_shapes_that_do_not_match(name, a):
    with pytest.raises(InputError, match=r"\(5, 24\) and \(5, 23\) cannot be compared"):
        getattr(search, name)(a, a[:, :23])
    with pytest.raises(InputError, match=r"\(5, 24\) and \(4, 24\) are not pairs"):
        getattr(search, f"pairwise_{name}")(a, a[:4])


@pytest.mark.parametrize("similarity", [search.cos_sim, search.pairwise_cos_sim])
def test_lists_of_packed_bits_are_rejected(similarity):
    bits = [*search.quantize_embeddings(np.eye(16, dtype=np.float32), "ubinary")]
    with pytest.raises(InputError, match="Compare packed bits with semantic_search_binary or hamming_sim"):
        similarity(bits, bits)
