"""Batches of token ids, padded to one length; numpy only."""

import bisect
import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Batches for `embed` are padded to these row lengths, so that jit compiles few programs.
LENGTH_BUCKETS = (
    *range(8, 32, 2),
    *range(32, 64, 4),
    *range(64, 128, 8),
    *range(128, 256, 16),
    *range(256, 513, 32),
)

Shape = tuple[int, int]


class Batch(NamedTuple):
    """Token ids of texts, padded to one length; a pytree of numpy or jax arrays.

    Attributes:
        input_ids: int[B, T], token ids.
        attention_mask: int or bool[B, T], nonzero at real tokens.
        token_type_ids: int[B, T], or None for all zeros.
    """

    input_ids: Any
    attention_mask: Any
    token_type_ids: Any = None


def as_int32(ids: Any) -> NDArray[Any]:
    """Return integers as int32, and other types unchanged; integers that do not fit become -1, outside every table.

    Args:
        ids: Integers of any dtype.

    Returns:
        An array of the same shape.
    """
    array = np.asarray(ids)
    if array.dtype.kind not in "iu" or array.dtype == np.int32:
        return array
    return np.where((array >= 0) & (array <= np.iinfo(np.int32).max), array, -1).astype(np.int32)


def split_rows(batch: Batch, budget: int) -> list[Batch]:
    """Split a batch that exceeds the token budget into equal parts, halving it while its number of rows is even.

    Args:
        batch: Arrays of int[B, T].
        budget: Maximum tokens per part.

    Returns:
        The parts, in the order of their rows.
    """
    rows, parts = len(batch.input_ids), 1
    while rows % (2 * parts) == 0 and np.size(batch.input_ids) > parts * budget:
        parts *= 2
    split = [[None] * parts if x is None else np.split(np.asarray(x), parts) for x in batch]
    return [Batch(*part) for part in zip(*split, strict=True)]


@dataclasses.dataclass(frozen=True)
class RaggedIds:
    """Token ids of many texts, concatenated.

    Attributes:
        ids: int32[total], the ids of all texts.
        lengths: int32[n], the number of tokens of each text.
        first_lengths: int32[n], for pairs of texts, the number of tokens that belong to the first one, which have the
            token type 0; those of the second one have the type 1. None if all types are 0.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    first_lengths: NDArray[np.int32] | None = None

    @functools.cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def pad(self, texts: NDArray[np.intp], shape: Shape) -> Batch:
        """Arrange texts as one padded batch.

        Args:
            texts: Indices of the texts, at most B; the rows after them contain only padding.
            shape: (B, T).

        Returns:
            A batch of int32[B, T] arrays; token_type_ids is None, which means zeros, unless these are pairs.
        """
        places, lengths = np.arange(shape[1]), np.zeros(shape[0], np.int32)
        lengths[: len(texts)] = self.lengths[texts]
        mask = places < lengths[:, None]
        input_ids = np.zeros(shape, np.int32)
        input_ids[mask] = self.of(texts)
        if self.first_lengths is None:
            return Batch(input_ids, mask.astype(np.int32))
        first = np.zeros(shape[0], np.int32)
        first[: len(texts)] = self.first_lengths[texts]
        return Batch(input_ids, mask.astype(np.int32), (mask & (places >= first[:, None])).astype(np.int32))

    def of(self, texts: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return the concatenated ids of some of the texts."""
        lengths = self.lengths[texts]
        ends = np.cumsum(lengths, dtype=np.int64)
        return self.ids[np.repeat(self._starts[texts] - (ends - lengths), lengths) + np.arange(lengths.sum())]


def bucket_length(length: int) -> int:
    """Return the row length T that a text of this many tokens is padded to."""
    return max(length, LENGTH_BUCKETS[min(bisect.bisect_left(LENGTH_BUCKETS, length), len(LENGTH_BUCKETS) - 1)])


def one_batch(tokens: RaggedIds, length: int, pad_id: int = 0) -> Batch:
    """Return all texts as one batch of int32[n, length] arrays, including token_type_ids."""
    batch = tokens.pad(np.arange(len(tokens.lengths)), (len(tokens.lengths), length))
    input_ids = np.where(batch.attention_mask, batch.input_ids, np.int32(pad_id))
    types = np.zeros_like(input_ids) if batch.token_type_ids is None else batch.token_type_ids
    return Batch(input_ids, batch.attention_mask, types)
