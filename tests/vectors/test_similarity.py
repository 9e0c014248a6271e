"""`minilm_jax.search`: how alike vectors are, beside float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.errors import InputError

# Sums of 24 products of float32 numbers near one.
TOLERANCE = 1e-5


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
def test_all_pairs(name, a, b):
    found = getattr(search, name)(a, b)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, REFERENCES[name](a[:, None], b[None]), atol=TOLERANCE)


@pytest.mark.parametrize("name", REFERENCES)
def test_row_by_row(name, a, b):
    pairwise = getattr(search, f"pairwise_{name}")
    np.testing.assert_allclose(pairwise(a, b[:5]), REFERENCES[name](a, b[:5]), atol=TOLERANCE)
    assert pairwise(a[0], b[0]).shape == ()


@pytest.mark.parametrize("kind", ["list", "float16", "int8", "bfloat16"])
def test_what_vectors_may_be(kind, a, b):
    a, b = (3 * a).round(), (3 * b).round()
    found = search.dot_score(*(x.tolist() if kind == "list" else jnp.asarray(x).astype(kind) for x in (a, b)))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, a @ b.T)


@pytest.mark.parametrize("name", REFERENCES)
def test_one_vector_is_one_row(name, a, b):
    assert getattr(search, name)(a[0], b[0]).shape == (1, 1)
    assert getattr(search, name)(a[0], b).shape == (1, 7)


@pytest.mark.parametrize("name", REFERENCES)
def test_they_compose(name, a, b):
    similarity = getattr(search, name)
    gradient = jax.grad(lambda x: jax.jit(similarity)(x, x).sum())(jnp.asarray(a))
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(similarity(a, b) - jax.vmap(lambda x: similarity(x, b)[0])(jnp.asarray(a))).max() < TOLERANCE


def test_equal_vectors_are_no_distance_apart(a):
    assert (jnp.diagonal(search.euclidean_sim(a, a)) == 0).all()
    assert (jnp.diagonal(search.manhattan_sim(a, a)) == 0).all()


def test_a_zero_vector_has_cosine_zero(b):
    assert (search.cos_sim(np.zeros(24), b) == 0).all()
    assert search.pairwise_cos_sim(np.zeros(24), b[0]) == 0


@pytest.mark.parametrize("name", REFERENCES)
def test_vectors_that_do_not_fit_are_refused(name, a):
    with pytest.raises(InputError, match=r"\(5, 24\) and \(5, 23\) cannot be compared"):
        getattr(search, name)(a, a[:, :23])
    with pytest.raises(InputError, match=r"\(5, 24\) and \(4, 24\) are no pairs"):
        getattr(search, f"pairwise_{name}")(a, a[:4])
