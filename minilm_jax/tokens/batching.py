"""From ragged token ids to padded batches of few shapes, and back to the order of the texts; numpy only."""

import dataclasses
import functools
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Row lengths that batches may be padded to; a job uses those that pay, see `choose_lengths`.
LENGTH_BUCKETS = (
    *range(8, 32, 2),
    *range(32, 64, 4),
    *range(64, 128, 8),
    *range(128, 256, 16),
    *range(256, 513, 32),
)

# Tokens a call. On CPU 512 to 1,024 keep a layer's activations in a core's cache and beat any larger batch.
TOKEN_BUDGET = 1_024

# So that all streams end at about the same time; but splitting small work further costs more than it gains.
_BATCHES_A_STREAM = 4
_SMALLEST_PART = 4

# What one more shape may cost, in tokens of padding. Compiling takes as long as some 8,000 tokens on CPU, but what is
# compiled is used again: by the next job, and where programs are kept on disk by the next process.
_COMPILE_COST = 256

Shape = tuple[int, int]


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


def pieces(batch: Batch, budget: int = TOKEN_BUDGET) -> list[Batch]:
    """Cuts a batch of more tokens than the budget into equal parts of fewer, where its rows can be halved so often.

    Args:
        batch: Arrays of int[B, T].
        budget: Most tokens a part.

    Returns:
        The parts, in the order of their rows.
    """
    rows, parts = len(batch.input_ids), 1
    while rows % (2 * parts) == 0 and np.size(batch.input_ids) > parts * budget:
        parts *= 2
    cut = [[None] * parts if x is None else np.split(np.asarray(x), parts) for x in batch]
    return [Batch(*part) for part in zip(*cut, strict=True)]


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

    def pad(self, rows: NDArray[np.intp], shape: Shape) -> Batch:
        """Lays some of the texts out as one batch.

        Args:
            rows: The texts to take, at most B of them; rows without a text are padding only.
            shape: (B, T).

        Returns:
            A batch of int32[B, T] arrays; token_type_ids is None, which stands for zeros.
        """
        lengths = np.zeros(shape[0], np.int32)
        lengths[: len(rows)] = self.lengths[rows]
        mask = np.arange(shape[1]) < lengths[:, None]
        input_ids = np.zeros(shape, np.int32)
        input_ids[mask] = self.of(rows)
        return Batch(input_ids, mask.astype(np.int32))

    def of(self, texts: NDArray[np.intp]) -> NDArray[np.int32]:
        """Returns the ids of some of the texts, end to end."""
        lengths = self.lengths[texts]
        ends = np.cumsum(lengths, dtype=np.int64)
        return self.ids[np.repeat(self._starts[texts] - (ends - lengths), lengths) + np.arange(lengths.sum())]


def bucket_length(length: int) -> int:
    """Returns the row length T that a text of this many tokens is padded to."""
    return next((bucket for bucket in LENGTH_BUCKETS if length <= bucket), length)


def plan(
    lengths: NDArray[np.int32],
    batch_size: int | None = None,
    *,
    budget: int = TOKEN_BUDGET,
    streams: int = 1,
    compiled: Collection[Shape] = (),
) -> Iterator[tuple[NDArray[np.intp], Shape]]:
    """Groups texts of like length into batches of few shapes, the longest first.

    With the longest first the memory needed shows at once, and only the last batch is partly filled.

    Args:
        lengths: int32[n], tokens of each text.
        batch_size: Most rows a batch, or None for as many as the token budget allows.
        budget: Most tokens a batch.
        streams: How many batches are computed side by side.
        compiled: The shapes that cost no compilation.

    Yields:
        The texts of a batch, and its shape (B, T); B is a power of two, or batch_size.
    """
    if len(lengths) == 0:
        return
    share = max(budget // _SMALLEST_PART, int(lengths.sum()) // (_BATCHES_A_STREAM * streams))

    def rows(length: int, texts: int = len(lengths)) -> int:
        full = max(1, min(budget, share) // length)
        return min(batch_size or full, 1 << (full.bit_length() - 1), 1 << (texts - 1).bit_length())

    steps = choose_lengths(lengths, {length for full, length in compiled if full == rows(length)})
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = steps[np.searchsorted(steps, lengths[order[start]])]
        shape = rows(length, len(order) - start), length
        yield order[start : start + shape[0]], shape
        start += shape[0]


def choose_lengths(lengths: NDArray[np.int32], compiled: Collection[int] = ()) -> list[int]:
    """Chooses the row lengths with which a job is padded and compiled in the least time.

    Args:
        lengths: int32[n], tokens of each text, at least one.
        compiled: Row lengths that need no compilation.

    Returns:
        Row lengths in ascending order, the last of which fits the longest text.
    """
    longest = bucket_length(int(lengths.max()))
    buckets = [*(b for b in LENGTH_BUCKETS if b < longest), longest, *sorted(b for b in compiled if b > longest)[:1]]
    # texts[i] are no longer than buckets[i - 1]; least[i] is the least cost of all of them.
    texts = [0, *np.searchsorted(np.sort(lengths), buckets, side="right").tolist()]
    least, below = [0], [0]
    for last, bucket in enumerate(buckets, start=1):
        compilation = 0 if bucket in compiled else _COMPILE_COST
        costs = [least[i] + (texts[last] - texts[i]) * bucket for i in range(last)]
        below.append(min(range(last), key=costs.__getitem__))
        least.append(costs[below[last]] + compilation * (texts[last] > texts[below[last]]))
    last = min((i for i, bucket in enumerate(buckets, start=1) if bucket >= longest), key=least.__getitem__)
    steps = []
    while last:
        steps.append(buckets[last - 1])
        last = below[last]
    return steps[::-1]
