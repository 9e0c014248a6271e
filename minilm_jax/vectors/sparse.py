"""Sparse vectors as scipy matrices: from dense batches, and their similarity."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError, did_you_mean

# scipy does not state its types.
SparseMatrix: TypeAlias = Any

_SIMILARITIES = ("dot", "cosine", "euclidean")


def to_csr(
    batches: Iterable[tuple[NDArray[np.intp], NDArray[np.floating]]], shape: tuple[int, int], max_active: int | None
) -> SparseMatrix:
    """Collect dense vectors in a sparse matrix, so that only one batch at a time is dense.

    Args:
        batches: Row indices, int[b], and their vectors, float[b, V], in any order.
        shape: (n, V).
        max_active: Number of largest weights to keep per vector, or None for all.

    Returns:
        float32[n, V] with sorted column indices.
    """
    from scipy.sparse import coo_array

    rows, columns, values = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for own, vectors in batches:
        texts, active = np.nonzero(vectors if max_active is None else _largest(vectors, max_active))
        rows.append(own[texts].astype(np.int32))
        columns.append(active.astype(np.int32))
        values.append(vectors[texts, active].astype(np.float32))
    places = np.concatenate(rows), np.concatenate(columns)
    found: SparseMatrix = coo_array((np.concatenate(values), places), shape=shape).tocsr()
    found.sort_indices()
    return found


def _largest(vectors: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    if count >= vectors.shape[1]:
        return vectors
    kept = np.zeros_like(vectors)
    places = np.argpartition(vectors, -count, axis=1)[:, -count:]
    np.put_along_axis(kept, places, np.take_along_axis(vectors, places, axis=1), axis=1)
    return kept


def as_csr(vectors: Any, name: str = "embeddings") -> SparseMatrix:
    """Return sparse or dense vectors, [n, V] or one [V], as a sparse matrix; raises InputError for anything else."""
    from scipy.sparse import csr_array, issparse

    try:
        rows = vectors if issparse(vectors) else np.atleast_2d(np.asarray(vectors, np.float32))
        matrix: SparseMatrix = csr_array(rows)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} is {type(vectors).__name__}; pass the matrix that SparseEncoder.encode returns."
        ) from None
    return matrix.reshape(1, -1).tocsr() if matrix.ndim == 1 else matrix


def sparse_similarity(name: str, first: Any, second: Any) -> NDArray[np.float32]:
    """Compare all pairs of rows.

    Args:
        name: "dot", "cosine" or "euclidean", whose distance is negated.
        first: Sparse or dense [n, V].
        second: Sparse or dense [m, V].

    Returns:
        float32[n, m].

    Raises:
        InputError: The name is unknown, or the vectors differ in their dimensions.
    """
    check_similarity(name)
    a, b = _both(first, second)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"the vectors have {a.shape[1]} and {b.shape[1]} dimensions; encode both with one model.")
    products = (a @ b.T).toarray()
    return _finished(name, products, _squares(a)[:, None], _squares(b)[None, :])


def sparse_similarity_pairwise(name: str, first: Any, second: Any) -> NDArray[np.float32]:
    """Compare each row with the same row of the other matrix, float32[n]; otherwise like `sparse_similarity`."""
    check_similarity(name)
    a, b = _both(first, second)
    if a.shape != b.shape:
        raise InputError(f"the vectors have the shapes {a.shape} and {b.shape}; they must be equal.")
    return _finished(name, np.asarray((a * b).sum(axis=1)), _squares(a), _squares(b))


def check_similarity(name: str) -> None:
    """Raise InputError if a similarity of sparse vectors is not implemented."""
    if name not in _SIMILARITIES:
        near = did_you_mean(name, _SIMILARITIES)
        raise InputError(f"similarity_fn_name is {name!r}; sparse vectors have {', '.join(_SIMILARITIES)}.{near}")


def _both(first: Any, second: Any) -> tuple[SparseMatrix, SparseMatrix]:
    # The difference of float32 squares would lose the distance of similar vectors.
    return as_csr(first, "embeddings1").astype(np.float64), as_csr(second, "embeddings2").astype(np.float64)


def _squares(vectors: SparseMatrix) -> NDArray[np.float64]:
    return np.asarray(vectors.power(2).sum(axis=1))


def _finished(
    name: str, products: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the similarity of vectors with these products and squared norms."""
    if name == "cosine":
        products = products / np.maximum(np.sqrt(a) * np.sqrt(b), np.finfo(np.float32).tiny)
    if name == "euclidean":
        products = -np.sqrt(np.maximum(a + b - 2 * products, 0))
    return products.astype(np.float32)
