"""What is embedded: token ids of one length or of mixed lengths, and texts of about as many tokens."""

import random
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.texts import recombined_texts
from minilm_jax.tokens.batching import Batch, RaggedIds

# Tokens a text; None stands for mixed lengths.
Length: TypeAlias = int | None
LENGTHS: tuple[Length, ...] = (16, 32, 64, 128, 256, None)

# Texts of any length are put together from pieces of about so many tokens.
_PIECE, _MOST_PIECES = 16, 16

# Lengths that are multiples of it suit the matrix units of a GPU.
_STEP = 8


def name_of(length: Length) -> str:
    """Returns what the report calls texts of this length."""
    return "mixed" if length is None else f"T = {length}"


def texts_of(length: Length, tokens: int) -> list[str]:
    """Returns texts of about so many tokens each, and about so many in all, of random words."""
    chosen, pieces = random.Random(0), iter(recombined_texts(2 * tokens // _PIECE))
    mean = length or _PIECE * (1 + _MOST_PIECES) // 2
    counts = [length // _PIECE if length else chosen.randint(1, _MOST_PIECES) for _ in range(max(1, tokens // mean))]
    return [" ".join(next(pieces) for _ in range(count)) for count in counts]


def random_tokens(lengths: NDArray[np.int32]) -> RaggedIds:
    """Returns whole words and word pieces for texts of these lengths."""
    return RaggedIds(np.random.default_rng(0).integers(1_000, 30_000, lengths.sum()).astype(np.int32), lengths)


def padded(tokens: RaggedIds, budget: int) -> Iterator[tuple[Batch, NDArray[np.intp]]]:
    """Lays texts of like length out side by side, each batch as long as its longest text.

    Args:
        tokens: The texts.
        budget: Most tokens a batch, padding included.

    Yields:
        A batch of int32[B, T], and the texts that are its rows, int[B].
    """
    order, start = np.argsort(-tokens.lengths, kind="stable"), 0
    while start < len(order):
        length = -(-int(tokens.lengths[order[start]]) // _STEP) * _STEP
        rows = order[start : start + max(1, budget // length)]
        yield tokens.pad(rows, (len(rows), length)), rows
        start += len(rows)
