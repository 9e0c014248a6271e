"""Losses of cross-encoders: the only "column" is the logits of the pairs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.errors import InputError
from minilm_jax.training.losses.rows import columns, masked, mean, targets


def cross_entropy(
    vectors: Sequence[ArrayLike], labels: ArrayLike | None = None, *, valid: ArrayLike | None = None
) -> Array:
    """Compute the cross-entropy of one class per pair.

    Args:
        vectors: One array, the logits, float[B, L] for L classes.
        labels: The classes, int[B], from 0 to L - 1.
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows, a scalar.

    Raises:
        InputError: There is more than one column, fewer than two classes, or the labels are not integers [B].
    """
    (logits,) = columns(vectors, valid, 1, 1)
    if logits.shape[1] < 2:
        raise InputError("cross_entropy needs a model with two labels or more; use binary_cross_entropy for one.")
    if labels is None or not jnp.issubdtype(jnp.asarray(labels).dtype, jnp.integer):
        raise InputError("cross_entropy needs one class per row; pass integers from 0 to the number of labels minus 1.")
    classes = masked(jnp.asarray(labels).reshape(len(logits)), valid)
    return mean(optax.losses.softmax_cross_entropy_with_integer_labels(logits, classes), valid)


def binary_cross_entropy(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    pos_weight: float | None = None,
    valid: ArrayLike | None = None,
) -> Array:
    """Compute the cross-entropy of independent yes-or-no labels.

    Args:
        vectors: One array, the logits, float[B, L].
        labels: The probabilities of "yes", float[B, L]; also float[B] if L is 1.
        pos_weight: Factor of the terms of "yes", for data with few of them.
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows and labels, a scalar.

    Raises:
        InputError: There is more than one column, or not as many labels as logits.
    """
    (logits,) = columns(vectors, valid, 1, 1)
    wanted = targets(labels, valid, logits.shape)
    losses = optax.losses.sigmoid_binary_cross_entropy(logits, wanted)
    if pos_weight is not None:
        losses += (pos_weight - 1) * wanted * jax.nn.softplus(-logits)
    return mean(losses, valid)
