"""Similarity of vectors: cosine, dot product, and negated Euclidean and Manhattan distance.

`cos_sim`, `dot_score`, `euclidean_sim` and `manhattan_sim` compare all pairs of rows: they take `a`, [n, D], and `b`,
[m, D], and return float32[n, m]. One vector [D] counts as one row. The functions `pairwise_*` compare each row of `a`
with the same row of `b`: they take two arrays [n, D] and return float32[n], or a scalar for two vectors [D]. All raise
`InputError` if the shapes do not match.

All are pure functions, which can be jitted, differentiated and sharded. They compute in float32, or in float64 if the
inputs have that dtype and 64-bit types are enabled in JAX.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from numpy.typing import ArrayLike

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.nn.pooling import l2_normalize
from minilm_jax.nn.settings import device_use

HOW_TO_COMPARE_BITS = "Compare packed bits with semantic_search_binary or hamming_sim of minilm_jax.search"

# The float32 cosine of two equal vectors may be this much below 1, so thresholds of cosines are lowered by this amount.
COSINE_ROUNDING = 1e-6

ScoreFunction: TypeAlias = Callable[[ArrayLike, ArrayLike], Array]


class SimilarityFunctions(NamedTuple):
    """The all-pairs and the pairwise function of one similarity.

    Attributes:
        all_pairs: Compares all pairs of rows.
        pairwise: Compares each row with the same row of the other array.
    """

    all_pairs: ScoreFunction
    pairwise: ScoreFunction


def similarity_functions(name: str) -> SimilarityFunctions:
    """Return the functions of "cosine", "dot", "euclidean" or "manhattan"; raises InputError for another name."""
    functions = {
        "cosine": SimilarityFunctions(cos_sim, pairwise_cos_sim),
        "dot": SimilarityFunctions(dot_score, pairwise_dot_score),
        "euclidean": SimilarityFunctions(euclidean_sim, pairwise_euclidean_sim),
        "manhattan": SimilarityFunctions(manhattan_sim, pairwise_manhattan_sim),
    }
    if name not in functions:
        near = did_you_mean(name, functions)
        raise InputError(f"similarity_fn_name is {name!r}; it must be one of {', '.join(functions)}.{near}")
    return functions[name]


@device_use()
def cos_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the cosine similarity of all pairs of rows; it is 0 for a zero vector."""
    a, b = _all_pairs(a, b)
    return dot_score(l2_normalize(a), l2_normalize(b))


@device_use()
def dot_score(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the dot product of all pairs of rows."""
    # HIGHEST, because accelerators would otherwise round float32 inputs to fewer bits.
    return jnp.einsum("nd,md->nm", *_all_pairs(a, b), precision=lax.Precision.HIGHEST)


@device_use()
def euclidean_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the negative Euclidean distance of all pairs of rows; it is exactly 0 for equal vectors."""
    return _for_all_pairs(_negative_euclidean, *_all_pairs(a, b))


@device_use()
def manhattan_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the negative Manhattan distance of all pairs of rows."""
    return _for_all_pairs(_negative_manhattan, *_all_pairs(a, b))


@device_use()
def pairwise_cos_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the cosine similarity of corresponding rows; it is 0 for a zero vector."""
    a, b = _row_by_row(a, b)
    return pairwise_dot_score(l2_normalize(a), l2_normalize(b))


@device_use()
def pairwise_dot_score(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the dot product of corresponding rows."""
    a, b = _row_by_row(a, b)
    return jnp.sum(a * b, axis=-1)


@device_use()
def pairwise_euclidean_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the negative Euclidean distance of corresponding rows."""
    return _negative_euclidean(*_row_by_row(a, b))


@device_use()
def pairwise_manhattan_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the negative Manhattan distance of corresponding rows."""
    return _negative_manhattan(*_row_by_row(a, b))


def _all_pairs(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    a, b = jnp.atleast_2d(_floating(a)), jnp.atleast_2d(_floating(b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"vectors of shapes {a.shape} and {b.shape} cannot be compared; pass [n, D] and [m, D].")
    return a, b


def _row_by_row(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    a, b = _floating(a), _floating(b)
    if a.ndim == 0 or a.shape != b.shape:
        raise InputError(f"vectors of shapes {a.shape} and {b.shape} are not pairs; pass two arrays of one shape.")
    return a, b


def _floating(x: ArrayLike) -> Array:
    try:
        if not hasattr(x, "dtype") and any(isinstance(leaf, str) for leaf in jax.tree.leaves(x)):
            raise TypeError  # JAX would take a string for the name of a dtype.
        array = jnp.asarray(x)
    except (TypeError, ValueError):
        raise InputError(
            f"{type(x).__name__} is not an array of vectors; pass numbers [n, D], such as `encode` returns."
        ) from None
    check_vectors(array)
    return array if array.dtype == jnp.float64 else array.astype(jnp.float32)


def check_vectors(vectors: ArrayLike) -> None:
    """Raise InputError for arrays of unsigned bytes or complex numbers, which have no meaningful similarity."""
    kind = str(getattr(vectors, "dtype", ""))
    if kind == "uint8":
        raise InputError(
            f"the vectors are uint8, which are not coordinates. {HOW_TO_COMPARE_BITS}. For vectors of precision"
            " 'uint8', compare the original float32 vectors."
        )
    if kind.startswith("complex"):
        raise InputError(f"the vectors are {kind}; pass real numbers [n, D].")


# Jitted, so that XLA fuses the differences, [n, m, D], into the sum and never stores them.
@functools.partial(jax.jit, static_argnums=0)
def _for_all_pairs(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    return function(a[:, None], b[None])


def _negative_euclidean(a: Array, b: Array) -> Array:
    squares = jnp.sum(jnp.square(a - b), axis=-1)
    nonzero = squares > 0
    # sqrt has no finite gradient at 0, so it is computed at 1 there and the result is discarded.
    return -jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, squares, 1)), 0)


def _negative_manhattan(a: Array, b: Array) -> Array:
    return -jnp.sum(jnp.abs(a - b), axis=-1)
