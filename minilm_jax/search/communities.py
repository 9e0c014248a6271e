"""`community_detection`: groups of vectors that are all near one of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from minilm_jax.errors import InputError
from minilm_jax.progress import progress_bar
from minilm_jax.search.chunks import Rows, as_rows, chunks, power_of_two, rows_at_once
from minilm_jax.vectors.similarity import cos_sim

# Cosines that are held at a time while groups are taken, 64 MB.
_MOST_COSINES = 2**24


def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1_024,
    show_progress_bar: bool | None = False,
) -> list[list[int]]:
    """Finds groups of vectors that are near a centre, as sentence-transformers' function of this name does.

    The vector with most neighbours takes them all; of those not taken the one with most takes what is left of them; and
    so on.

    Args:
        embeddings: [n, D].
        threshold: The least cosine of a member with the centre.
        min_community_size: Smaller groups are left out.
        batch_size: Most rows at a time that neighbours are counted of.
        show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

    Returns:
        Lists of rows, the largest first; in each the centre first, then by falling cosine.

    Raises:
        InputError: A size is not positive, or a vector is not finite.
    """
    if min(min_community_size, batch_size) < 1:
        raise InputError("min_community_size and batch_size must be at least 1.")
    rows = as_rows(embeddings)
    counts = _neighbour_counts(rows, threshold, batch_size, show_progress_bar)
    centres = np.argsort(-counts, kind="stable")
    centres = centres[counts[centres] >= min_community_size]
    groups = _take(rows, centres, threshold, min_community_size)
    return sorted(groups, key=len, reverse=True)


def _neighbour_counts(
    rows: Rows, threshold: float, batch_size: int, show_progress_bar: bool | None
) -> NDArray[np.integer]:
    counts = np.zeros(len(rows), np.int32)
    with progress_bar(len(rows), show_progress_bar) as progress:
        for start, count, some in chunks(rows, batch_size):
            finite = np.asarray(jnp.isfinite(some).all(axis=1))
            if not finite.all():
                raise InputError(f"embedding {start + finite.argmin()} has NaN or infinity.")
            for _, real, chunk in chunks(rows, rows_at_once()):
                near = _count_near(some, chunk, np.int32(real), np.float32(threshold))
                counts[start : start + count] += np.asarray(near)[:count]
            progress.update(count)
    return counts


def _take(rows: Rows, centres: NDArray[np.integer], threshold: float, smallest: int) -> list[list[int]]:
    groups, taken = [], np.zeros(len(rows), bool)
    at_once = min(power_of_two(len(rows)), max(1, _MOST_COSINES // max(1, len(rows))))
    while len(centres):
        now, centres = centres[:at_once], centres[at_once:]
        for centre, cosines in zip(now.tolist(), _cosines_with_all(rows, now, at_once), strict=True):
            members = np.flatnonzero((cosines >= np.float32(threshold)) & ~taken)
            if taken[centre] or len(members) < smallest:
                continue
            members = members[np.argsort(-cosines[members], kind="stable")]
            groups.append([centre, *members[members != centre].tolist()])
            taken[groups[-1]] = True
        centres = centres[~taken[centres]]
    return groups


def _cosines_with_all(rows: Rows, some: NDArray[np.integer], size: int) -> NDArray[np.float32]:
    queries = rows[np.resize(some, size)]  # Repeated up to the size, so that one program serves them all.
    parts = [np.asarray(_cosines(queries, chunk))[:, :count] for _, count, chunk in chunks(rows, rows_at_once())]
    return np.concatenate(parts, axis=1)[: len(some)]


_cosines = jax.jit(cos_sim)


@jax.jit
def _count_near(rows: Array, chunk: Array, count: Array, threshold: Array) -> Array:
    real = jnp.arange(len(chunk), dtype=jnp.int32) < count
    return jnp.sum((cos_sim(rows, chunk) >= threshold) & real[None], axis=1, dtype=jnp.int32)
