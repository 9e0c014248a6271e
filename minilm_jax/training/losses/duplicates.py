"""Equal texts in a batch, which contrastive losses must not use as negatives."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray


def text_ids(columns: Sequence[Sequence[str]]) -> NDArray[np.int32]:
    """Return ids of texts that are equal exactly for equal texts of the batch.

    Args:
        columns: The texts of each column, B per column.

    Returns:
        int32[B, C] for C columns.
    """
    numbers: dict[str, int] = {}
    ids = [[numbers.setdefault(text, len(numbers)) for text in column] for column in columns]
    return np.array(ids, np.int32).T


def positives_of(ids: Array, candidates: Array) -> Array:
    """Return which candidates are true matches of which query, as far as the batch shows.

    These are the text of the query itself, and the positives of all rows with the same query.

    Args:
        ids: int[B, C], the ids of query, positive and negatives of each row; -1 in padding rows.
        candidates: int[N], the ids of the candidates.

    Returns:
        bool[B, N].
    """
    queries, positives = ids[:, 0], ids[:, 1]
    same_query = _equal(queries, queries).astype(jnp.float32)
    matches = same_query @ _equal(positives, candidates).astype(jnp.float32)
    return _equal(queries, candidates) | (matches > 0)


def _equal(a: Array, b: Array) -> Array:
    return a[:, None] == b[None, :]
