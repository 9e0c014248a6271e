"""Large batches in bounded memory: texts are embedded in chunks, twice (GradCache, arXiv 2101.06983)."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
from jax import Array

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError

# Embeds rows: (params, rows, key) -> float[B, D]. `rows` is a tree of arrays [B, …]; `key` is for dropout, or None.
Embed: TypeAlias = Callable[[Any, Any, Array | None], Array]


def in_chunks(embed: Embed, chunk: int) -> Embed:
    """Return a function that embeds a batch in chunks of rows, with the same values and gradients.

    The gradient of any loss of all vectors stays exact. The backward pass computes the activations of one chunk at a
    time again, so memory for activations grows with the chunk and not with the batch, and an update takes one more
    forward pass.

    Chunk i holds the rows i, i + n, i + 2n, … of a batch of n chunks. If the rows of a batch are split over a mesh, so
    are those of each chunk, provided that the number of devices divides `chunk`.

    Args:
        embed: A pure function `(params, rows, key)`, which returns float[B, D]. The rows of a batch must not affect
            each other's vectors.
        chunk: Rows per chunk. It must divide the number of rows of each batch.

    Returns:
        A function with the arguments of `embed`. Its key is split into one key per chunk, so the dropout masks are not
        those of the whole batch.

    Raises:
        InputError: `chunk` is not a positive integer; in a call, if it does not divide the number of rows.
    """
    size = integer("chunk", chunk)

    def embed_in_chunks(params: Any, rows: Any, key: Array | None) -> Array:
        count = _chunk_count(rows, size)
        keys = None if key is None else jax.random.split(key, count)
        # Without `checkpoint`, the scan would keep the activations of all chunks for the backward pass.
        step = jax.checkpoint(embed)
        chunks = jax.tree.map(lambda x: x.reshape(size, count, *x.shape[1:]).swapaxes(0, 1), rows)
        _, vectors = jax.lax.scan(lambda _, chunk: (None, step(params, *chunk)), None, (chunks, keys))
        return vectors.swapaxes(0, 1).reshape(size * count, -1)

    return embed_in_chunks


def _chunk_count(rows: Any, size: int) -> int:
    count, rest = divmod(len(jax.tree.leaves(rows)[0]), size)
    if rest:
        raise InputError(
            f"the batch has {count * size + rest} rows, which is not a multiple of the chunk, {size}; pad the batch or"
            " change the chunk."
        )
    return count
