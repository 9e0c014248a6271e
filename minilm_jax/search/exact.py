"""Exact search: scores a chunk at a time, of which only the best are kept."""

import functools
from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from minilm_jax.errors import InputError
from minilm_jax.search.chunks import Rows, as_rows, chunks, power_of_two, rows_at_once
from minilm_jax.vectors.similarity import ScoreFunction, cos_sim

QUERIES_AT_ONCE = 1_024

# Chunks handed to the device before its results are waited for: more would fill its memory, fewer let it wait.
_QUEUED = 8


class Nearest(NamedTuple):
    """What is nearest to some queries, best first, the smaller id first where scores are equal.

    Attributes:
        scores: float32[Q, k].
        ids: int32[Q, k], rows of the corpus.
    """

    scores: NDArray[np.float32]
    ids: NDArray[np.int32]


class Hit(TypedDict):
    """An entry that was found.

    Attributes:
        corpus_id: Its row in the corpus.
        score: How near it is to the query.
    """

    corpus_id: int
    score: float


def nearest(
    queries: ArrayLike,
    corpus: ArrayLike,
    top_k: int,
    score_function: ScoreFunction = cos_sim,
    query_chunk_size: int = QUERIES_AT_ONCE,
    corpus_chunk_size: int | None = None,
) -> Iterator[Nearest]:
    """Finds the rows of a corpus with the highest scores.

    What is compiled depends on sizes rounded up to powers of two, so that few programs serve all sizes.

    Args:
        queries: [n, D], or one vector [D].
        corpus: [m, D]; one that is on an accelerator stays there.
        top_k: How many to find for each query.
        score_function: Scores [Q, D] and [C, D] as float[Q, C], higher being nearer; it is jitted.
        query_chunk_size: Most queries at a time.
        corpus_chunk_size: Most rows of the corpus at a time; by default what suits the device.

    Yields:
        A result for each chunk of queries, with k the lesser of top_k and m.

    Raises:
        InputError: A size is not positive, the vectors differ in their dimensions, or a score is not finite.
    """
    queries, corpus = as_rows(queries), as_rows(corpus)
    corpus_chunk_size = rows_at_once() if corpus_chunk_size is None else corpus_chunk_size
    if min(top_k, query_chunk_size, corpus_chunk_size) < 1:
        raise InputError("top_k, query_chunk_size and corpus_chunk_size must be at least 1.")
    if len(queries) and len(corpus) and queries.shape[1] != corpus.shape[1]:
        raise InputError(
            f"the queries have {queries.shape[1]} dimensions, the corpus {corpus.shape[1]}; embed both with one model."
        )
    k = min(top_k, len(corpus))
    for start, count, chunk in chunks(queries, query_chunk_size):
        found = _among_all(chunk, corpus, power_of_two(k), score_function, corpus_chunk_size)
        yield _checked(Nearest(*(np.asarray(x)[:count, :k] for x in found)), start)


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = QUERIES_AT_ONCE,
    corpus_chunk_size: int | None = None,
    top_k: int = 10,
    score_function: ScoreFunction = cos_sim,
) -> list[list[Hit]]:
    """Searches a corpus exactly, with the meaning of sentence-transformers' function of this name.

    Args:
        query_embeddings: [n, D], or one vector [D].
        corpus_embeddings: [m, D]; a jax array on an accelerator stays there.
        query_chunk_size: Most queries at a time.
        corpus_chunk_size: Most rows of the corpus at a time; by default what suits the device.
        top_k: Most hits for each query.
        score_function: Scores [Q, D] and [C, D] as float[Q, C], higher being nearer; it is jitted.

    Returns:
        A list for each query, of the lesser of top_k and m hits, best first.

    Raises:
        InputError: A size is not positive, the vectors differ in their dimensions, or a score is not finite.
    """
    found = nearest(query_embeddings, corpus_embeddings, top_k, score_function, query_chunk_size, corpus_chunk_size)
    return [hits for chunk in found for hits in as_hits(chunk)]


def as_hits(found: Nearest) -> list[list[Hit]]:
    """Returns what was found as lists of dicts, one for each query."""
    return [
        [Hit(corpus_id=id, score=score) for score, id in zip(scores, ids, strict=True)]
        for scores, ids in zip(found.scores.tolist(), found.ids.tolist(), strict=True)
    ]


def _among_all(queries: Rows, corpus: Rows, k: int, score_function: ScoreFunction, size: int) -> tuple[Array, Array]:
    best = jnp.full((len(queries), k), -jnp.inf, jnp.float32), jnp.full((len(queries), k), -1, jnp.int32)
    for number, (start, count, chunk) in enumerate(chunks(corpus, size), 1):
        best = _better(*best, queries, chunk, np.int32(start), np.int32(count), score_function)
        if number % _QUEUED == 0:
            jax.block_until_ready(best)
    return best


@functools.partial(jax.jit, static_argnames="score_function")
def _better(
    scores: Array, ids: Array, queries: Array, chunk: Array, start: Array, count: Array, score_function: ScoreFunction
) -> tuple[Array, Array]:
    new = score_function(queries, chunk).astype(jnp.float32)
    # What is not finite comes first, where it is seen.
    new = jnp.where(jnp.isfinite(new), new, jnp.inf)
    new = jnp.where((jnp.arange(len(chunk), dtype=jnp.int32) < count)[None], new, -jnp.inf)
    new, rows = lax.top_k(new, min(scores.shape[1], len(chunk)))
    scores, places = lax.top_k(jnp.concatenate([scores, new], axis=1), scores.shape[1])
    return scores, jnp.take_along_axis(jnp.concatenate([ids, rows + start], axis=1), places, axis=1)


def _checked(found: Nearest, start: int) -> Nearest:
    finite = np.isfinite(found.scores[:, :1]).all(axis=1)
    if not finite.all():
        query = finite.argmin()
        raise InputError(
            f"the score of query {start + query} and row {found.ids[query, 0]} of the corpus is not a finite number;"
            " look for NaN, infinity or huge numbers in both vectors."
        )
    return found
