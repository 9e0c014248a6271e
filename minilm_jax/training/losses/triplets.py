"""The loss of triplets: an anchor is nearer to its positive than to its negative, by a margin."""

from collections.abc import Sequence

import jax
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.config import TripletDistance
from minilm_jax.training.losses.rows import columns, mean
from minilm_jax.vectors.similarity import similarity_functions


def triplet(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    distance: TripletDistance = "euclidean",
    margin: float = 5.0,
    valid: ArrayLike | None = None,
) -> Array:
    """Compute the mean of max(0, d(anchor, positive) - d(anchor, negative) + margin).

    Args:
        vectors: Anchors, positives and negatives, float[B, D] each.
        labels: Not used.
        distance: "euclidean", "manhattan" or "cosine", which is 1 minus the cosine.
        margin: The margin. Distances of unit vectors are at most 2, so the default never reaches 0 for them.
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows, a scalar.

    Raises:
        InputError: There are not three columns.
    """
    del labels
    anchors, positives, negatives = columns(vectors, valid, 3, 3)
    # A distance is minus the similarity, plus 1 for the cosine, which the difference cancels.
    similarity = similarity_functions(distance).pairwise
    return mean(jax.nn.relu(similarity(anchors, negatives) - similarity(anchors, positives) + margin), valid)
