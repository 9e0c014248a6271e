"""The rows of a batch: columns and labels in float32, and means over the rows that are not padding."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.errors import InputError


def columns(
    vectors: Sequence[ArrayLike], valid: ArrayLike | None, minimum: int, maximum: int | None = None
) -> list[Array]:
    """Return the columns of a batch in float32, with zeros in padding rows.

    Args:
        vectors: float[B, D] per column.
        valid: bool[B], false for padding rows, or None.
        minimum: Minimum number of columns.
        maximum: Maximum number of columns, or None.

    Returns:
        float32[B, D] per column, or float64 for float64 vectors.

    Raises:
        InputError: There are too few or too many columns, or their shapes do not match.
    """
    if len(vectors) < minimum or (maximum is not None and len(vectors) > maximum):
        needed = (
            f"{minimum}"
            if maximum == minimum
            else f"at least {minimum}"
            if maximum is None
            else f"{minimum} to {maximum}"
        )
        raise InputError(
            f"the loss takes {needed} columns of vectors, not {len(vectors)}; see minilm_jax.training.losses."
        )
    shapes = {jnp.shape(column) for column in vectors}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise InputError(
            f"the columns have the shapes {sorted(shapes)}; pass one array [B, D] per column, of one shape."
        )
    return [masked(floating(column), valid) for column in vectors]


def targets(labels: ArrayLike | None, valid: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """Return labels in float32, without gradient, with zeros in padding rows.

    Args:
        labels: Labels of the batch.
        valid: bool[B], false for padding rows, or None.
        shape: The shape that the loss needs; labels of as many elements are reshaped.

    Raises:
        InputError: There are no labels, or another number of them.
    """
    if labels is None:
        raise InputError("the loss needs labels; add a column named label, labels, score or scores to the data.")
    array = jnp.asarray(labels)
    if array.size != math.prod(shape):
        raise InputError(f"the labels have the shape {array.shape}; the loss needs {shape}.")
    return masked(floating(array.reshape(shape)), valid)


def mean(values: Array, valid: ArrayLike | None) -> Array:
    """Return the mean of values, float[B] or float[B, K], over the rows that are not padding; 0 if there are none."""
    return jnp.mean(mean_row(values, valid))


def mean_row(values: Array, valid: ArrayLike | None) -> Array:
    """Return the mean row of float[B, V], float[V], over the rows that are not padding."""
    count = len(values) if valid is None else jnp.maximum(jnp.sum(valid).astype(values.dtype), 1)
    return jnp.sum(masked(values, valid), axis=0) / count


def masked(values: Array, valid: ArrayLike | None) -> Array:
    """Return values, [B, …], with zeros in padding rows; these rows get no gradient, even if they hold NaN."""
    if valid is None:
        return values
    rows = jnp.asarray(valid, bool).reshape(-1, *(1,) * (values.ndim - 1))
    return jnp.where(rows, values, jnp.zeros_like(values))


def floating(x: ArrayLike) -> Array:
    """Return an array in float32, or in float64 if it has that dtype."""
    array = jnp.asarray(x)
    return array if array.dtype == jnp.float64 else array.astype(jnp.float32)
