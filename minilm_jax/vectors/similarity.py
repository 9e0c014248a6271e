"""How alike vectors are, of all pairs or row by row: cosine, dot product, Euclidean and Manhattan distance negated.

All are pure functions, to be jitted, differentiated and sharded. They compute in float32, or in float64 where given it.
"""

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from numpy.typing import ArrayLike

from minilm_jax.errors import InputError
from minilm_jax.nn.pooling import l2_normalize

ScoreFunction: TypeAlias = Callable[[ArrayLike, ArrayLike], Array]


def cos_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the cosine of every row of a with every row of b; a zero vector has 0 with all.

    Args:
        a: [n, D], or one vector [D].
        b: [m, D], or one vector [D].

    Returns:
        float32[n, m].

    Raises:
        InputError: The vectors differ in their dimensions.
    """
    a, b = _all_pairs(a, b)
    return dot_score(l2_normalize(a), l2_normalize(b))


def dot_score(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the dot product of every row of a with every row of b.

    Args:
        a: [n, D], or one vector [D].
        b: [m, D], or one vector [D].

    Returns:
        float32[n, m].

    Raises:
        InputError: The vectors differ in their dimensions.
    """
    # HIGHEST, as accelerators would round float32 to fewer bits.
    return jnp.einsum("nd,md->nm", *_all_pairs(a, b), precision=lax.Precision.HIGHEST)


def euclidean_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the negative Euclidean distance of every row of a to every row of b.

    It is summed from differences, so that equal vectors are exactly 0 apart.

    Args:
        a: [n, D], or one vector [D].
        b: [m, D], or one vector [D].

    Returns:
        float32[n, m].

    Raises:
        InputError: The vectors differ in their dimensions.
    """
    return _for_all_pairs(_negative_euclidean, *_all_pairs(a, b))


def manhattan_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the negative Manhattan distance of every row of a to every row of b.

    Args:
        a: [n, D], or one vector [D].
        b: [m, D], or one vector [D].

    Returns:
        float32[n, m].

    Raises:
        InputError: The vectors differ in their dimensions.
    """
    return _for_all_pairs(_negative_manhattan, *_all_pairs(a, b))


def pairwise_cos_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the cosine of each row of a with the same row of b; a zero vector has 0.

    Args:
        a: [n, D], or one vector [D].
        b: Of the same shape.

    Returns:
        float32[n], or a scalar for two vectors.

    Raises:
        InputError: The shapes differ.
    """
    a, b = _row_by_row(a, b)
    return pairwise_dot_score(l2_normalize(a), l2_normalize(b))


def pairwise_dot_score(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the dot product of each row of a with the same row of b.

    Args:
        a: [n, D], or one vector [D].
        b: Of the same shape.

    Returns:
        float32[n], or a scalar for two vectors.

    Raises:
        InputError: The shapes differ.
    """
    a, b = _row_by_row(a, b)
    return jnp.sum(a * b, axis=-1)


def pairwise_euclidean_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the negative Euclidean distance of each row of a to the same row of b.

    Args:
        a: [n, D], or one vector [D].
        b: Of the same shape.

    Returns:
        float32[n], or a scalar for two vectors.

    Raises:
        InputError: The shapes differ.
    """
    return _negative_euclidean(*_row_by_row(a, b))


def pairwise_manhattan_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the negative Manhattan distance of each row of a to the same row of b.

    Args:
        a: [n, D], or one vector [D].
        b: Of the same shape.

    Returns:
        float32[n], or a scalar for two vectors.

    Raises:
        InputError: The shapes differ.
    """
    return _negative_manhattan(*_row_by_row(a, b))


def _all_pairs(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    a, b = jnp.atleast_2d(_floating(a)), jnp.atleast_2d(_floating(b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"vectors of shapes {a.shape} and {b.shape} cannot be compared; give [n, D] and [m, D].")
    return a, b


def _row_by_row(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    a, b = _floating(a), _floating(b)
    if a.ndim == 0 or a.shape != b.shape:
        raise InputError(f"vectors of shapes {a.shape} and {b.shape} are no pairs; give two arrays of one shape.")
    return a, b


def _floating(x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


# Jitted, so that the differences, [n, m, D], are summed as they come and never held.
@functools.partial(jax.jit, static_argnums=0)
def _for_all_pairs(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    return function(a[:, None], b[None])


def _negative_euclidean(a: Array, b: Array) -> Array:
    squares = jnp.sum(jnp.square(a - b), axis=-1)
    apart = squares > 0
    # The root has no gradient at 0; there it is taken of 1, and the result is not used.
    return -jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)


def _negative_manhattan(a: Array, b: Array) -> Array:
    return -jnp.sum(jnp.abs(a - b), axis=-1)
