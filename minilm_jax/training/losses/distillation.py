"""Losses of queries with several candidates and the scores of a teacher, such as a cross-encoder."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.errors import InputError
from minilm_jax.training.losses.rows import columns, mean, targets
from minilm_jax.vectors.similarity import similarity_functions


def margin_mse(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    similarity: str = "dot",
    valid: ArrayLike | None = None,
) -> Array:
    """Compute the mean squared difference between margins of the vectors and of a teacher (arXiv 2010.02666).

    A margin is the score of the positive minus that of a negative. The scores are dot products, so vectors of unit
    length cannot reach the margins of most teachers.

    Args:
        vectors: Queries, positives, and K columns of negatives, float[B, D] each.
        labels: The teacher's scores of positive and negatives, float[B, K + 1]; or its margins, float[B, K]; also
            float[B] if K is 1.
        similarity: "dot", "cosine", "euclidean" or "manhattan".
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows and the negatives, a scalar.

    Raises:
        InputError: There are fewer than three columns, or the labels have another shape.
    """
    queries, *documents = columns(vectors, valid, 3)
    scores = _scores(queries, documents, similarity)
    is_margin = labels is not None and jnp.size(labels) == scores[:, 1:].size
    teacher = targets(labels, valid, scores[:, 1:].shape if is_margin else scores.shape)
    margins = teacher if is_margin else _margins(teacher)
    return mean(optax.losses.squared_error(_margins(scores), margins), valid)


def distill_kl(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    temperature: float = 1.0,
    student_temperature: float | None = None,
    teacher_temperature: float | None = None,
    similarity: str = "dot",
    valid: ArrayLike | None = None,
) -> Array:
    """Compute the Kullback-Leibler divergence of the candidates' probabilities from those of a teacher.

    The value is T²·KL(softmax(teacher / U) ‖ softmax(scores / T)), where T is the temperature of the student and U that
    of the teacher.

    Args:
        vectors: Queries and N columns of candidates, float[B, D] each.
        labels: The teacher's scores of the candidates, float[B, N].
        temperature: Both temperatures, if they are not given.
        student_temperature: T, by default `temperature`.
        teacher_temperature: U, by default `temperature`.
        similarity: "dot", "cosine", "euclidean" or "manhattan".
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows, a scalar.

    Raises:
        InputError: There are fewer than three columns, the labels have another shape, or a temperature is not positive.
    """
    queries, *candidates = columns(vectors, valid, 3)
    student, teacher = (
        _positive(temperature if own is None else own) for own in (student_temperature, teacher_temperature)
    )
    scores = _scores(queries, candidates, similarity)
    log_wanted = jax.nn.log_softmax(targets(labels, valid, scores.shape) / teacher)
    divergence = optax.losses.kl_divergence_with_log_targets(jax.nn.log_softmax(scores / student), log_wanted)
    return student**2 * mean(divergence, valid)


def _scores(queries: Array, documents: Sequence[Array], similarity: str) -> Array:
    compare = similarity_functions(similarity).pairwise
    return jnp.stack([compare(queries, own) for own in documents], axis=1)


def _margins(scores: Array) -> Array:
    return scores[:, :1] - scores[:, 1:]


def _positive(temperature: float) -> float:
    if not 0 < temperature < float("inf"):
        raise InputError(f"a temperature is {temperature}; it must be positive and finite.")
    return temperature
