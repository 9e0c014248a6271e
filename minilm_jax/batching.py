"""From ragged token ids to padded batches of few shapes, and back to the order of the texts; numpy only."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Row lengths that batches are padded to: finer steps pad less, fewer of them compile less.
LENGTH_BUCKETS = (
    *range(8, 32, 2),
    *range(32, 64, 8),
    *range(64, 128, 16),
    *range(128, 256, 32),
    *range(256, 513, 64),
)

# Tokens a call. On CPU 512 to 2,048 keep a layer's activations in cache and beat any larger batch.
TOKEN_BUDGET = 2_048


class Batch(NamedTuple):
    """What the encoder takes; a pytree of numpy or jax arrays.

    Attributes:
        input_ids: int[B, T], token ids.
        attention_mask: int or bool[B, T], nonzero at real tokens.
        token_type_ids: int[B, T], or None for all zeros.
    """

    input_ids: Any
    attention_mask: Any
    token_type_ids: Any = None


@dataclasses.dataclass(frozen=True)
class RaggedIds:
    """Token ids of many texts end to end.

    Attributes:
        ids: int32[total], the ids of all texts.
        lengths: int32[n], how many of them each text has.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]

    @functools.cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def pad(self, rows: NDArray[np.intp], shape: tuple[int, int]) -> Batch:
        """Lays some of the texts out as one batch.

        Args:
            rows: The texts to take, at most B of them; rows without a text are padding only.
            shape: (B, T).

        Returns:
            A batch of int32[B, T] arrays, token_type_ids all zeros.
        """
        starts = self._starts[rows]
        lengths = np.zeros(shape[0], np.int32)
        lengths[: len(rows)] = self.lengths[rows]
        mask = np.arange(shape[1]) < lengths[:, None]
        input_ids = np.zeros(shape, np.int32)
        positions = np.pad(starts, (0, shape[0] - len(rows)))[:, None] + np.arange(shape[1])
        input_ids[mask] = self.ids[positions[mask]]
        return Batch(input_ids, mask.astype(np.int32), np.zeros(shape, np.int32))


def bucket_length(length: int) -> int:
    """Returns the row length T that a text of this many tokens is padded to."""
    return next((bucket for bucket in LENGTH_BUCKETS if length <= bucket), length)


def bucket_rows(texts: int, length: int, batch_size: int | None = None) -> int:
    """Returns the number of rows B of the next batch.

    Args:
        texts: How many are left to embed.
        length: T.
        batch_size: Most rows, or None for as many as the token budget allows.

    Returns:
        A full batch, or the next power of two where fewer texts are left, so that there are few shapes.
    """
    full = batch_size or max(1, TOKEN_BUDGET // length)
    return min(full, 1 << (texts - 1).bit_length())


def plan(
    lengths: NDArray[np.int32], batch_size: int | None = None
) -> Iterator[tuple[NDArray[np.intp], tuple[int, int]]]:
    """Groups texts of like length into batches of few shapes, the longest first.

    With the longest first the memory needed shows at once, and only the last batch is partly filled.

    Args:
        lengths: int32[n], tokens of each text.
        batch_size: Most rows a batch, or None for as many as the token budget allows.

    Yields:
        The texts of a batch, and its shape (B, T).
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = bucket_length(int(lengths[order[start]]))
        rows = bucket_rows(len(order) - start, length, batch_size)
        yield order[start : start + rows], (rows, length)
        start += rows
