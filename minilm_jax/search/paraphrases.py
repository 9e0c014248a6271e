"""Paraphrase mining: the most similar pairs of a corpus."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.progress import progress_bar
from minilm_jax.search.exact import QUERIES_PER_TILE, Nearest, nearest
from minilm_jax.search.tiles import as_rows
from minilm_jax.tokens.texts import as_texts
from minilm_jax.vectors.similarity import ScoreFunction, cos_sim

# A pair of rows i < j is stored as one int64, i * 2**32 + j.
_BITS = 32


def paraphrase_mining(
    model: Any,
    sentences: Sequence[str],
    show_progress_bar: bool | None = False,
    batch_size: int | None = None,
    query_chunk_size: int = QUERIES_PER_TILE,
    corpus_chunk_size: int | None = None,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
    **encode_options: Any,
) -> list[list[float | int]]:
    """Embed texts and find the most similar pairs, like the function of this name in sentence-transformers.

    Args:
        model: A `SentenceEncoder`.
        sentences: The texts.
        show_progress_bar: True or False, or None for a bar on a terminal when the work is long.
        batch_size: Maximum texts per batch; by default as many as a budget of tokens allows.
        query_chunk_size: Maximum number of texts for which partners are searched at once; 1,024 by default.
        corpus_chunk_size: Maximum number of texts with which they are compared at once; by default chosen for the
            device.
        max_pairs: Maximum number of pairs; the best are kept.
        top_k: Maximum number of partners found for one text.
        score_function: Symmetric scores of [Q, D] against [C, D] as float[Q, C], higher is nearer; it is jitted.
        encode_options: Further keywords of `SentenceEncoder.encode`, such as prompt_name or truncate_dim.

    Returns:
        [score, i, j] for each pair, where i < j are positions of texts; best first.

    Raises:
        InputError: A text is not a string, a size is not positive, a score is not finite, or packed bits would be
            compared by cosine.
    """
    if encode_options.get("precision") == "binary" and score_function is cos_sim:
        raise InputError("precision 'binary' gives packed bits, which have no cosine; pass score_function=hamming_sim.")
    embeddings = model.encode(
        as_texts(sentences, "sentences"), batch_size=batch_size, show_progress_bar=show_progress_bar, **encode_options
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function, show_progress_bar
    )


def paraphrase_mining_embeddings(
    embeddings: ArrayLike,
    query_chunk_size: int = QUERIES_PER_TILE,
    corpus_chunk_size: int | None = None,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
    show_progress_bar: bool | None = False,
) -> list[list[float | int]]:
    """Find the most similar pairs of vectors; see `paraphrase_mining`.

    Args:
        embeddings: [n, D].
        query_chunk_size: Maximum number of rows for which partners are searched at once; 1,024 by default.
        corpus_chunk_size: Maximum number of rows with which they are compared at once; by default chosen for the
            device.
        max_pairs: Maximum number of pairs; the best are kept.
        top_k: Maximum number of partners found for one row.
        score_function: Symmetric scores of [Q, D] against [C, D] as float[Q, C], higher is nearer; it is jitted.
        show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

    Returns:
        [score, i, j] for each pair of rows i < j, best first.

    Raises:
        InputError: A size is not positive, or a score is not finite.
    """
    max_pairs, top_k = integer("max_pairs", max_pairs), integer("top_k", top_k)
    rows, start = as_rows(embeddings), 0
    scores, pairs = np.empty(0, np.float32), np.empty(0, np.int64)
    # One more than top_k, because the nearest row to every row is the row itself.
    found = nearest(rows, rows, top_k + 1, score_function, query_chunk_size, corpus_chunk_size)
    with progress_bar(len(rows), show_progress_bar) as progress:
        for tile in found:
            new_scores, new_pairs = _pairs_of(tile, start, top_k)
            scores, pairs = np.concatenate([scores, new_scores]), np.concatenate([pairs, new_pairs])
            best = _best(scores, pairs, max_pairs)
            scores, pairs = scores[best], pairs[best]
            start += len(tile.ids)
            progress.update(len(tile.ids))
    results = zip(scores.tolist(), (pairs >> _BITS).tolist(), (pairs % 2**_BITS).tolist(), strict=True)
    return [list(result) for result in results]


def _pairs_of(found: Nearest, start: int, top_k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    own = np.arange(start, start + len(found.ids))[:, None]
    other = found.ids != own
    rows, columns = np.nonzero(other & (np.cumsum(other, axis=1) <= top_k))
    i, j = own[rows, 0], found.ids[rows, columns].astype(np.int64)
    return found.scores[rows, columns], np.minimum(i, j) << _BITS | np.maximum(i, j)


def _best(scores: NDArray[np.float32], pairs: NDArray[np.int64], count: int) -> NDArray[np.integer]:
    # A pair can be found from both of its rows; np.unique keeps the first.
    _, unique = np.unique(pairs, return_index=True)
    return unique[np.argsort(-scores[unique], kind="stable")[:count]]
