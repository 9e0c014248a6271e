"""Losses of pairs of texts with a score of their similarity."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.errors import InputError
from minilm_jax.nn.pooling import l2_normalize
from minilm_jax.training.losses.rows import columns, mean, targets
from minilm_jax.vectors.similarity import pairwise_cos_sim, similarity_functions


def cosine_similarity(
    vectors: Sequence[ArrayLike], labels: ArrayLike | None = None, *, valid: ArrayLike | None = None
) -> Array:
    """Compute the mean squared difference between the cosine of each pair and its score.

    Args:
        vectors: The two texts of each pair, float[B, D] each.
        labels: The scores, float[B], between 0 and 1 for most data.
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows, a scalar.

    Raises:
        InputError: There are not two columns, or not one score per row.
    """
    a, b = columns(vectors, valid, 2, 2)
    return mean(optax.losses.squared_error(pairwise_cos_sim(a, b), targets(labels, valid, (len(a),))), valid)


def cosent(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    similarity: str = "cosine",
    valid: ArrayLike | None = None,
) -> Array:
    """Penalize each pair that is more similar than a pair with a higher score (CoSENT).

    The value is log(1 + Σ exp(scale·(c_i − c_j))) over all i, j with score_i < score_j, where c are the similarities.
    It is one logarithm for the whole batch and not a mean, so it grows with the batch.

    Args:
        vectors: The two texts of each pair, float[B, D] each.
        labels: The scores, float[B]; only their order matters.
        scale: The factor of the similarities.
        similarity: "cosine", "dot", "euclidean" or "manhattan".
        valid: bool[B], false for padding rows, or None.

    Returns:
        A scalar.

    Raises:
        InputError: There are not two columns, or not one score per row.
    """
    a, b = columns(vectors, valid, 2, 2)
    compare = similarity_functions(similarity).pairwise
    return _ordered(compare(a, b), targets(labels, valid, (len(a),)), scale, valid)


def angle(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    valid: ArrayLike | None = None,
) -> Array:
    """Compute `cosent` with the angle of complex vectors as the similarity (AnglE, arXiv 2309.12871).

    Each vector is split into a real and an imaginary half, with a zero at the end if D is odd.

    Args:
        vectors: The two texts of each pair; or anchors, positives, and columns of negatives; float[B, D] each.
        labels: The scores, float[B]. If there are negatives, the scores of the positives; by default all 1.
        scale: The factor of the similarities.
        valid: bool[B], false for padding rows, or None.

    Returns:
        A scalar.

    Raises:
        InputError: There are fewer than two columns, or not one score per row.
    """
    anchors, *others = columns(vectors, valid, 2)
    if labels is None and len(others) == 1:
        raise InputError("angle needs a score per pair, or a column of negatives; add one of them to the data.")
    scores = targets(jnp.ones(len(anchors)) if labels is None else labels, None, (len(anchors),))
    similarities = jnp.concatenate([_angle_similarity(anchors, other) for other in others])
    scores = jnp.concatenate([scores] + [1 - scores] * (len(others) - 1))
    return _ordered(similarities, scores, scale, None if valid is None else jnp.tile(jnp.asarray(valid), len(others)))


def _ordered(similarities: Array, scores: Array, scale: float, valid: ArrayLike | None) -> Array:
    counts = scores[:, None] < scores[None]
    if valid is not None:
        rows = jnp.asarray(valid, bool)
        counts &= rows[:, None] & rows[None]
    excess = jnp.where(counts, scale * (similarities[:, None] - similarities[None]), -jnp.inf)
    # The additional zero is the 1 in the logarithm; it also keeps the gradient finite if no two scores differ.
    return jax.nn.logsumexp(jnp.append(excess.reshape(-1), jnp.zeros((), excess.dtype)))


def _angle_similarity(x: Array, y: Array) -> Array:
    # The sum of the real and the imaginary parts of x/y over all complex components, divided by |x/y| = 1.
    x, y = (jnp.pad(l2_normalize(v), ((0, 0), (0, v.shape[1] % 2))) for v in (x, y))
    real_x, imaginary_x = jnp.split(x, 2, axis=1)
    real_y, imaginary_y = jnp.split(y, 2, axis=1)
    sines = jnp.sum(imaginary_x * real_y - real_x * imaginary_y, axis=1)
    return jnp.abs(jnp.sum(x * y, axis=1) + sines)
