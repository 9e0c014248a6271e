"""Exact search over sparse vectors, by the product of chunks of queries with an inverted index of the corpus."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.search.exact import Hit
from minilm_jax.vectors.sparse import SparseMatrix, as_csr

# By default, a chunk of queries has at most this many scores, which take 12 bytes each.
_SCORES_PER_CHUNK = 2**24


def semantic_search_sparse(
    query_embeddings: Any, corpus_embeddings: Any, top_k: int = 10, query_chunk_size: int | None = None
) -> list[list[Hit]]:
    """Find the corpus vectors with the largest dot product for each query, such as those of `SparseEncoder`.

    Only documents that share a token with the query, so that their score is positive, are found.

    Args:
        query_embeddings: Sparse or dense [n, V].
        corpus_embeddings: Sparse or dense [m, V]. Each call inverts it, unless it is in CSC format; so convert a corpus
            that is searched often, with `corpus.tocsc()`.
        top_k: Maximum number of hits per query.
        query_chunk_size: Maximum number of queries scored at once; by default as many as have 16 million scores.

    Returns:
        For each query up to top_k hits, best first; among equal scores the smaller id comes first.

    Raises:
        InputError: A size is not positive, the vectors differ in their dimensions, or a value is not finite.
    """
    top_k = integer("top_k", top_k)
    queries = _checked(as_csr(query_embeddings, "query_embeddings"), "query_embeddings")
    inverted = _checked(_inverted(corpus_embeddings), "corpus_embeddings")
    size, count = inverted.shape
    if queries.shape[1] != size:
        raise InputError(
            f"the queries have {queries.shape[1]} dimensions, the corpus {size}; embed both with one model."
        )
    chunk = max(1, _SCORES_PER_CHUNK // max(1, count))
    if query_chunk_size is not None:
        chunk = integer("query_chunk_size", query_chunk_size)
    return [
        _best(*row, top_k)
        for start in range(0, queries.shape[0], chunk)
        for row in _rows(queries[start : start + chunk] @ inverted)
    ]


def _inverted(corpus: Any) -> SparseMatrix:
    """Return the inverted index of a corpus: for each token, the documents that have it, with their weights."""
    from scipy.sparse import issparse

    if not (issparse(corpus) and corpus.ndim == 2):
        corpus = as_csr(corpus, "corpus_embeddings")
    return as_csr(corpus.T)


def _checked(matrix: SparseMatrix, name: str) -> SparseMatrix:
    matrix = matrix.astype(np.float32, copy=False)
    if not np.isfinite(matrix.data).all():
        raise InputError(f"{name} contains NaN, infinity or numbers beyond float32.")
    return matrix


def _rows(scores: SparseMatrix) -> Iterator[tuple[NDArray[np.integer], NDArray[np.float32]]]:
    for start, stop in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
        yield scores.indices[start:stop], scores.data[start:stop]


def _best(ids: NDArray[np.integer], scores: NDArray[np.float32], k: int) -> list[Hit]:
    ids, scores = ids[scores > 0], scores[scores > 0]
    if len(scores) > k:
        # Sorting only what reaches the k-th score is much faster than sorting all documents.
        reached = scores >= np.partition(scores, -k)[-k]
        ids, scores = ids[reached], scores[reached]
    order = np.lexsort((ids, -scores))[:k]
    return [
        Hit(corpus_id=id, score=score) for id, score in zip(ids[order].tolist(), scores[order].tolist(), strict=True)
    ]
