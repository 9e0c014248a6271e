"""Exact search with few queries by NumPy, which reads the corpus in place and has no program to compile."""

import functools
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minilm_jax.nn.pooling import SMALLEST_SQUARED_NORM
from minilm_jax.nn.settings import default_platform
from minilm_jax.runtime.devices import usable_cores
from minilm_jax.runtime.workers import parallel_map
from minilm_jax.search.tiles import Rows
from minilm_jax.vectors.similarity import ScoreFunction, cos_sim, dot_score

_Found: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int32]]

# For more queries, the products take longer than reading the corpus, and XLA's are faster.
_MAX_QUERIES = 16
# Smaller tiles cost up to 10 % more in calls; larger ones gain nothing. Several per core balance the cores.
_MIN_ROWS_PER_TILE, _MAX_ROWS_PER_TILE, _TILES_PER_CORE = 16_384, 65_536, 8


def is_for_numpy(queries: Rows, corpus: Rows, score_function: ScoreFunction) -> bool:
    """Return whether `search_few` computes these scores, and faster than XLA."""
    return (
        len(queries) <= _MAX_QUERIES
        and score_function in (cos_sim, dot_score)
        and all(isinstance(rows, np.ndarray) and rows.dtype == np.float32 for rows in (queries, corpus))
        and default_platform() == "cpu"
    )


def search_few(queries: Rows, corpus: Rows, k: int, score_function: ScoreFunction, max_rows: int | None) -> _Found:
    """Find the nearest corpus rows, on all cores.

    Args:
        queries: float32[Q, D], a numpy array.
        corpus: float32[m, D], a numpy array.
        k: Number of rows per query, at most m.
        score_function: `cos_sim` or `dot_score`.
        max_rows: Maximum number of corpus rows per tile, or None for the fastest.

    Returns:
        Scores and row indices, [Q, k], best first; among equal scores the smaller index comes first. A score that is
        not finite counts as infinity.
    """
    cores = usable_cores()
    size = min(max_rows or _MAX_ROWS_PER_TILE, _rows_per_tile(len(corpus), cores))
    queries, corpus = np.asarray(queries), np.asarray(corpus)

    def best_of_tile(start: int) -> _Found:
        scores = _scores(queries, corpus[start : start + size], score_function)
        return _best(k, scores, np.arange(start, start + scores.shape[1], dtype=np.int32)[None])

    def merge(best: _Found, new: _Found) -> _Found:
        return _best(k, np.concatenate([best[0], new[0]], axis=1), np.concatenate([best[1], new[1]], axis=1))

    nothing = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int32)
    return functools.reduce(merge, parallel_map(best_of_tile, range(0, len(corpus), size), cores), nothing)


def _rows_per_tile(rows: int, cores: int) -> int:
    return min(max(math.ceil(rows / (cores * _TILES_PER_CORE)), _MIN_ROWS_PER_TILE), _MAX_ROWS_PER_TILE)


def _scores(queries: NDArray, rows: NDArray, score_function: ScoreFunction) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(rows)
    with np.errstate(all="ignore"):
        if score_function is cos_sim:
            queries = queries * _inverse_norms(queries)[:, None]
        # Unlike a matrix product, `vecdot` sums every row in the same order, so that equal rows have equal scores.
        scores = np.ascontiguousarray(np.vecdot(rows[:, None], queries).T)
        if score_function is cos_sim:
            scores *= _inverse_norms(rows)
    scores[~np.isfinite(scores)] = np.inf
    return scores


def _inverse_norms(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return 1 / np.sqrt(np.maximum(np.vecdot(vectors, vectors), np.float32(SMALLEST_SQUARED_NORM)))


def _best(k: int, scores: NDArray[np.float32], ids: NDArray[np.int32]) -> _Found:
    """Keep the k highest scores of each row, or all, best first; among equal ones the first come first."""
    positions = np.stack([_positions_of_best(row, min(k, len(row))) for row in scores])
    return np.take_along_axis(scores, positions, axis=1), np.take_along_axis(ids, positions, axis=1)


def _positions_of_best(scores: NDArray[np.float32], k: int) -> NDArray[np.integer]:
    candidates = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    return candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
