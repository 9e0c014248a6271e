"""The workloads on a GPU: token ids of one length or of mixed lengths, and texts of about as many tokens."""

import random
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.texts import recombined_texts
from minilm_jax.tokens.batching import Batch, RaggedIds

# A length is the number of tokens per text; None means mixed lengths.
Length: TypeAlias = int | None
LENGTHS: tuple[Length, ...] = (16, 32, 64, 128, 256, None)

# Texts are joined from up to this many pieces of about this many tokens.
_PIECE_TOKENS, _MOST_PIECES = 16, 16

# Multiples of this length suit the matrix units of a GPU.
_LENGTH_STEP = 8


def length_name(length: Length) -> str:
    """Return the name of a length in reports."""
    return "mixed" if length is None else f"T = {length}"


def texts_of(length: Length, tokens: int) -> list[str]:
    """Return texts of random words, with about `length` tokens each and about `tokens` in total."""
    chosen, pieces = random.Random(0), iter(recombined_texts(2 * tokens // _PIECE_TOKENS))
    mean = length or _PIECE_TOKENS * (1 + _MOST_PIECES) // 2
    count = max(1, tokens // mean)
    counts = [length // _PIECE_TOKENS if length else chosen.randint(1, _MOST_PIECES) for _ in range(count)]
    return [" ".join(next(pieces) for _ in range(count)) for count in counts]


def random_tokens(lengths: NDArray[np.int32]) -> RaggedIds:
    """Return random token ids of words and word pieces, for texts of these lengths."""
    return RaggedIds(np.random.default_rng(0).integers(1_000, 30_000, lengths.sum()).astype(np.int32), lengths)


def padded(tokens: RaggedIds, budget: int) -> Iterator[tuple[Batch, NDArray[np.intp]]]:
    """Arrange texts of similar length in batches, each padded to its longest text.

    Args:
        tokens: Token ids of the texts.
        budget: Maximum tokens per batch, padding included.

    Yields:
        A batch, int32[B, T], and the indices of the texts in its rows, int[B].
    """
    order, start = np.argsort(-tokens.lengths, kind="stable"), 0
    while start < len(order):
        length = -(-int(tokens.lengths[order[start]]) // _LENGTH_STEP) * _LENGTH_STEP
        rows = order[start : start + max(1, budget // length)]
        yield tokens.pad(rows, (len(rows), length)), rows
        start += len(rows)
