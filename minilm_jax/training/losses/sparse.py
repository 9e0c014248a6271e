"""Regularization of sparse vectors, so that few terms of the vocabulary are active."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.training.losses.rows import columns, mean_row
from minilm_jax.training.losses.table import LossFunction, name_of


def flops(vectors: Sequence[ArrayLike], labels: ArrayLike | None = None, *, valid: ArrayLike | None = None) -> Array:
    """Compute the sum over the terms of the squared mean weight, which estimates the cost of a search.

    The formula is from Paria et al. 2020 (arXiv 2004.05665); the rows of all columns count alike.

    Args:
        vectors: Columns of sparse vectors with weights that are not negative, float[B, V] each.
        labels: Not used.
        valid: bool[B], false for padding rows, or None.

    Returns:
        A scalar.

    Raises:
        InputError: There is no column, or the shapes do not match.
    """
    del labels
    means = [mean_row(column, valid) for column in columns(vectors, valid, 1)]
    return jnp.sum(jnp.square(sum(means[1:], means[0]) / len(means)))


def splade(loss: LossFunction, document_weight: float, query_weight: float | None = None) -> LossFunction:
    """Return a loss plus `flops` of the documents and of the queries.

    Args:
        loss: A loss of this package, or any function with the same arguments; for sparse vectors mostly
            `functools.partial(multiple_negatives_ranking, similarity="dot", scale=1.0)`.
        document_weight: The weight for all columns but the first.
        query_weight: The weight for the first column, or None for no such term.

    Returns:
        A loss with the arguments of `loss`.
    """

    @functools.wraps(loss)
    def regularized(vectors: Sequence[ArrayLike], labels: Any = None, **options: Any) -> Array:
        valid = options.get("valid")
        total = loss(vectors, labels, **options) + document_weight * flops(vectors[1:], valid=valid)
        return total if query_weight is None else total + query_weight * flops(vectors[:1], valid=valid)

    regularized.__name__ = f"splade({name_of(loss)}, {document_weight}, {query_weight})"
    return regularized
