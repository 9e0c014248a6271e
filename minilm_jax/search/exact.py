"""Exact nearest-neighbor search: scores are computed tile by tile, and only the best are kept."""

import functools
from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.nn.settings import device_use
from minilm_jax.search.few_queries import is_for_numpy, search_few
from minilm_jax.search.tiles import Rows, as_rows, next_power_of_two, rows_per_tile, tiles
from minilm_jax.vectors.similarity import ScoreFunction, check_vectors, cos_sim

QUERIES_PER_TILE = 1_024

# This many tiles are queued on the device before results are awaited; more would fill its memory, fewer leave it idle.
_QUEUED_TILES = 8


class Nearest(NamedTuple):
    """Nearest corpus rows of Q queries, best first; among equal scores the smaller id comes first.

    Attributes:
        scores: float32[Q, k].
        ids: int32[Q, k], row indices in the corpus.
    """

    scores: NDArray[np.float32]
    ids: NDArray[np.int32]


class Hit(TypedDict):
    """Search result.

    Attributes:
        corpus_id: Row index in the corpus.
        score: Similarity to the query.
    """

    corpus_id: int
    score: float


def nearest(
    queries: ArrayLike,
    corpus: ArrayLike,
    top_k: int,
    score_function: ScoreFunction = cos_sim,
    query_chunk_size: int = QUERIES_PER_TILE,
    corpus_chunk_size: int | None = None,
) -> Iterator[Nearest]:
    """Find the corpus rows with the highest scores and yield them as arrays.

    Compiled programs depend on sizes rounded up to powers of two, so that few programs serve all sizes.

    Args:
        queries: [n, D], or one vector [D].
        corpus: [m, D]; a jax array on an accelerator stays there.
        top_k: Maximum number of rows per query.
        score_function: Scores [Q, D] against [C, D] as float[Q, C], higher is nearer; it is jitted.
        query_chunk_size: Maximum number of queries scored at once; 1,024 by default.
        corpus_chunk_size: Maximum number of corpus rows scored at once; by default chosen for the device.

    Yields:
        For each tile of queries its nearest rows, with k = min(top_k, m).

    Raises:
        InputError: A size is not positive, the vectors differ in their dimensions, or a score is not finite.
    """
    queries, corpus = as_rows(queries), as_rows(corpus)
    top_k, queries_per_tile = integer("top_k", top_k), integer("query_chunk_size", query_chunk_size)
    if corpus_chunk_size is not None:
        corpus_chunk_size = integer("corpus_chunk_size", corpus_chunk_size)
    if len(queries) and len(corpus) and queries.shape[1] != corpus.shape[1]:
        if queries.dtype != corpus.dtype:  # One of them may be packed bits.
            check_vectors(queries)
            check_vectors(corpus)
        raise InputError(
            f"the queries have {queries.shape[1]} dimensions, the corpus {corpus.shape[1]}; embed both with one model."
        )
    k = min(top_k, len(corpus))
    for start, valid, rows in tiles(queries, queries_per_tile):
        if is_for_numpy(rows[:valid], corpus, score_function):
            found = search_few(rows[:valid], corpus, k, score_function, corpus_chunk_size)
        else:
            size = corpus_chunk_size or rows_per_tile()
            found = _search_corpus(rows, corpus, next_power_of_two(k), score_function, size)
        yield _check_finite(Nearest(*(np.asarray(x)[:valid, :k] for x in found)), start)


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = QUERIES_PER_TILE,
    corpus_chunk_size: int | None = None,
    top_k: int = 10,
    score_function: ScoreFunction = cos_sim,
) -> list[list[Hit]]:
    """Find the nearest corpus vectors of each query, like the function of this name in sentence-transformers.

    Args:
        query_embeddings: [n, D], or one vector [D].
        corpus_embeddings: [m, D]; a jax array on an accelerator stays there.
        query_chunk_size: Maximum number of queries scored at once; 1,024 by default.
        corpus_chunk_size: Maximum number of corpus rows scored at once; by default chosen for the device.
        top_k: Maximum number of hits per query.
        score_function: Scores [Q, D] against [C, D] as float[Q, C], higher is nearer; it is jitted.

    Returns:
        For each query min(top_k, m) hits, best first.

    Raises:
        InputError: A size is not positive, the vectors differ in their dimensions, or a score is not finite.
    """
    found = nearest(query_embeddings, corpus_embeddings, top_k, score_function, query_chunk_size, corpus_chunk_size)
    return [hits for tile in found for hits in as_hits(tile)]


def as_hits(found: Nearest) -> list[list[Hit]]:
    """Return the nearest rows as one list of dicts per query."""
    return [
        [Hit(corpus_id=id, score=score) for score, id in zip(scores, ids, strict=True)]
        for scores, ids in zip(found.scores.tolist(), found.ids.tolist(), strict=True)
    ]


@device_use()
def _search_corpus(
    queries: Rows, corpus: Rows, k: int, score_function: ScoreFunction, size: int
) -> tuple[Array, Array]:
    best = jnp.full((len(queries), k), -jnp.inf, jnp.float32), jnp.full((len(queries), k), -1, jnp.int32)
    for number, (start, valid, rows) in enumerate(tiles(corpus, size), 1):
        best = _merge_tile(*best, queries, rows, np.int32(start), np.int32(valid), score_function)
        if number % _QUEUED_TILES == 0:
            jax.block_until_ready(best)
    return best


@functools.partial(jax.jit, static_argnames="score_function")
def _merge_tile(
    scores: Array, ids: Array, queries: Array, rows: Array, start: Array, valid: Array, score_function: ScoreFunction
) -> tuple[Array, Array]:
    new = score_function(queries, rows).astype(jnp.float32)
    # NaN and -inf become +inf, which comes first, so that the check afterwards finds them.
    new = jnp.where(jnp.isfinite(new), new, jnp.inf)
    new = jnp.where((jnp.arange(len(rows), dtype=jnp.int32) < valid)[None], new, -jnp.inf)
    new, new_ids = lax.top_k(new, min(scores.shape[1], len(rows)))
    scores, positions = lax.top_k(jnp.concatenate([scores, new], axis=1), scores.shape[1])
    return scores, jnp.take_along_axis(jnp.concatenate([ids, new_ids + start], axis=1), positions, axis=1)


def _check_finite(found: Nearest, start: int) -> Nearest:
    finite = np.isfinite(found.scores[:, :1]).all(axis=1)
    if not finite.all():
        query = finite.argmin()
        raise InputError(
            f"the score of query {start + query} and row {found.ids[query, 0]} of the corpus is not a finite number;"
            " look for NaN, infinity or huge numbers in both vectors."
        )
    return found
