"""`community_detection`: groups of vectors that are all near one center."""

from typing import Any, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.nn.settings import device_use
from minilm_jax.progress import progress_bar
from minilm_jax.search.tiles import Rows, as_rows, next_power_of_two, rows_per_tile, tiles
from minilm_jax.vectors.similarity import COSINE_ROUNDING, cos_sim

# At most this many cosines are in memory while groups are formed: 64 MB in float32.
_MAX_COSINES = 2**24


@device_use()
def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1_024,
    show_progress_bar: bool | None = False,
) -> list[list[int]]:
    """Find groups of vectors that are near a center, like the function of this name in sentence-transformers.

    Vectors are visited by descending number of neighbors. A vector without a group becomes a center, and its neighbors
    without a group become the members.

    Args:
        embeddings: [n, D].
        threshold: Minimum cosine similarity of a member with the center; 1 finds vectors that are equal except for
            rounding.
        min_community_size: Minimum number of members; smaller groups are dropped.
        batch_size: Maximum number of rows whose neighbors are counted at once.
        show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

    Returns:
        Lists of row indices, the largest first; each starts with the center, then by descending similarity.

    Raises:
        InputError: A size is not positive, the threshold is not from -1 to 1, or a vector is not finite.
    """
    min_community_size = integer("min_community_size", min_community_size)
    batch_size = integer("batch_size", batch_size)
    rows, threshold = as_rows(embeddings), _checked_threshold(threshold) - COSINE_ROUNDING
    counts = _neighbor_counts(rows, threshold, batch_size, show_progress_bar)
    centers = np.argsort(-counts, kind="stable")
    centers = centers[counts[centers] >= min_community_size]
    groups = _form_groups(rows, centers, threshold, min_community_size)
    return sorted(groups, key=len, reverse=True)


def _checked_threshold(threshold: Any) -> float:
    if not (isinstance(threshold, SupportsFloat) and -1 <= float(threshold) <= 1):
        raise InputError(f"threshold is {threshold!r}; it must be a cosine, from -1 to 1.")
    return float(threshold)


def _neighbor_counts(
    rows: Rows, threshold: float, batch_size: int, show_progress_bar: bool | None
) -> NDArray[np.integer]:
    counts = np.zeros(len(rows), np.int32)
    with progress_bar(len(rows), show_progress_bar) as progress:
        for start, valid, queries in tiles(rows, batch_size):
            finite = np.asarray(jnp.isfinite(queries).all(axis=1))
            if not finite.all():
                raise InputError(f"embedding {start + finite.argmin()} has NaN or infinity.")
            for tile in tiles(rows, rows_per_tile()):
                near = _count_near(queries, tile.rows, np.int32(tile.valid), np.float32(threshold))
                counts[start : start + valid] += np.asarray(near)[:valid]
            progress.update(valid)
    return counts


def _form_groups(rows: Rows, centers: NDArray[np.integer], threshold: float, smallest: int) -> list[list[int]]:
    groups, taken = [], np.zeros(len(rows), bool)
    at_once = min(next_power_of_two(len(rows)), max(1, _MAX_COSINES // max(1, len(rows))))
    while len(centers):
        now, centers = centers[:at_once], centers[at_once:]
        for center, cosines in zip(now.tolist(), _cosines_with_all(rows, now, at_once), strict=True):
            members = np.flatnonzero((cosines >= np.float32(threshold)) & ~taken)
            if taken[center] or len(members) < smallest:
                continue
            members = members[np.argsort(-cosines[members], kind="stable")]
            groups.append([center, *members[members != center].tolist()])
            taken[groups[-1]] = True
        centers = centers[~taken[centers]]
    return groups


def _cosines_with_all(rows: Rows, indices: NDArray[np.integer], size: int) -> NDArray[np.float32]:
    queries = rows[np.resize(indices, size)]  # Indices are repeated up to the size, so that one program serves all.
    parts = [np.asarray(_cosines(queries, tile.rows))[:, : tile.valid] for tile in tiles(rows, rows_per_tile())]
    return np.concatenate(parts, axis=1)[: len(indices)]


_cosines = jax.jit(cos_sim)


@jax.jit
def _count_near(queries: Array, rows: Array, valid: Array, threshold: Array) -> Array:
    not_padding = jnp.arange(len(rows), dtype=jnp.int32) < valid
    return jnp.sum((cos_sim(queries, rows) >= threshold) & not_padding[None], axis=1, dtype=jnp.int32)
