"""Batching of ragged token ids, padded to few shapes; numpy only."""

import bisect
import dataclasses
import functools
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Batches may be padded to these row lengths; `choose_lengths` picks some of them for each job.
LENGTH_BUCKETS = (
    *range(8, 32, 2),
    *range(32, 64, 4),
    *range(64, 128, 8),
    *range(128, 256, 16),
    *range(256, 513, 32),
)

# A batch has at most this many tokens. On CPU, 512 to 1,024 tokens keep a layer's activations in a core's cache; larger
# batches are slower.
TOKEN_BUDGET = 1_024

# Each worker gets several batches, so that all workers end at about the same time. Splitting small work further costs
# more than it gains.
_BATCHES_PER_WORKER = 4
_SMALLEST_PART = 4

# Another shape is worth its compilation if it saves this many tokens of padding. Compiling takes as long as about 8,000
# tokens on CPU, but the next job reuses the program, and so does the next process if programs are kept on disk.
_COMPILE_COST = 256

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


def split_rows(batch: Batch, budget: int = TOKEN_BUDGET) -> list[Batch]:
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
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]

    @functools.cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def pad(self, texts: NDArray[np.intp], shape: Shape) -> Batch:
        """Arrange texts as one padded batch.

        Args:
            texts: Indices of the texts, at most B; the rows after them contain only padding.
            shape: (B, T).

        Returns:
            A batch of int32[B, T] arrays; token_type_ids is None, which means zeros.
        """
        lengths = np.zeros(shape[0], np.int32)
        lengths[: len(texts)] = self.lengths[texts]
        mask = np.arange(shape[1]) < lengths[:, None]
        input_ids = np.zeros(shape, np.int32)
        input_ids[mask] = self.of(texts)
        return Batch(input_ids, mask.astype(np.int32))

    def of(self, texts: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return the concatenated ids of some of the texts."""
        lengths = self.lengths[texts]
        ends = np.cumsum(lengths, dtype=np.int64)
        return self.ids[np.repeat(self._starts[texts] - (ends - lengths), lengths) + np.arange(lengths.sum())]


def bucket_length(length: int) -> int:
    """Return the row length T that a text of this many tokens is padded to."""
    return max(length, LENGTH_BUCKETS[min(bisect.bisect_left(LENGTH_BUCKETS, length), len(LENGTH_BUCKETS) - 1)])


def plan(
    lengths: NDArray[np.int32],
    batch_size: int | None = None,
    *,
    budget: int = TOKEN_BUDGET,
    workers: int = 1,
    compiled: Collection[Shape] = (),
) -> Iterator[tuple[NDArray[np.intp], Shape]]:
    """Group texts of similar length into batches of few shapes, the longest first.

    Starting with the longest shows the peak memory at once, and only the last batch is partly filled.

    Args:
        lengths: int32[n], tokens of each text.
        batch_size: Maximum rows per batch, or None for as many as the token budget allows.
        budget: Maximum tokens per batch.
        workers: Number of batches computed at the same time.
        compiled: Shapes that need no compilation.

    Yields:
        The indices of a batch's texts, and its shape (B, T); B is a power of two, or batch_size.
    """
    if len(lengths) == 0:
        return
    part = max(budget // _SMALLEST_PART, int(lengths.sum()) // (_BATCHES_PER_WORKER * workers))
    tokens = min(budget, part)
    known = [length for rows, length in compiled if rows == _rows(length, len(lengths), tokens, batch_size)]
    steps = choose_lengths(lengths, known)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = steps[np.searchsorted(steps, lengths[order[start]])]
        rows = _rows(length, len(order) - start, tokens, batch_size)
        yield order[start : start + rows], (rows, length)
        start += rows


def _rows(length: int, texts: int, tokens: int, batch_size: int | None) -> int:
    full = max(1, tokens // length)
    return min(batch_size or full, 1 << (full.bit_length() - 1), 1 << (texts - 1).bit_length())


def choose_lengths(lengths: NDArray[np.int32], compiled: Collection[int] = ()) -> list[int]:
    """Choose the row lengths that minimize the cost of padding and compilation for a job.

    Args:
        lengths: int32[n], tokens of each text, at least one.
        compiled: Row lengths that need no compilation.

    Returns:
        Row lengths in ascending order, the last of which fits the longest text.
    """
    longest = bucket_length(int(lengths.max()))
    longer = min((length for length in compiled if length > longest), default=None) if compiled else None
    buckets = [*LENGTH_BUCKETS[: bisect.bisect_left(LENGTH_BUCKETS, longest)], longest, *([longer] if longer else [])]
    # texts[i] counts the texts of at most buckets[i - 1] tokens; least[i] is the minimum cost of batching them.
    texts = [0, *np.searchsorted(np.sort(lengths), buckets, side="right").tolist()]
    least, below = [0], [0]
    for last, bucket in enumerate(buckets, start=1):
        compilation = 0 if bucket in compiled else _COMPILE_COST
        costs = [least[i] + (texts[last] - texts[i]) * bucket for i in range(last)]
        below.append(min(range(last), key=costs.__getitem__))
        least.append(costs[below[last]] + compilation * (texts[last] > texts[below[last]]))
    last = len(buckets) - 1 if longer and least[-2] <= least[-1] else len(buckets)
    steps = []
    while last:
        steps.append(buckets[last - 1])
        last = below[last]
    return steps[::-1]
