"""Rows that hold several texts end to end, so that an accelerator computes hardly any padding; numpy only."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minilm_jax.tokens.batching import Batch, RaggedIds

# Tokens of the shortest row; longer texts get rows twice, four times, … as long. It is the width of an accelerator's
# matrix units; longer rows would only spend more on attention between texts, which is computed and masked.
ROW_LENGTH = 128

# Tokens of a row to one place for a text in it: few places where all texts are long, else as many as may be needed.
_TOKENS_A_PLACE = (32, 4)

# The fewest rows of a batch are this part of the most, so that the number of shapes is bounded.
FEWEST_ROWS = 8

# Stands in a place where no text lies.
NO_TEXT = -1


class PackedBatch(NamedTuple):
    """Several texts a row; a pytree of numpy or jax arrays.

    Attributes:
        input_ids: int[B, T], the token ids of a row's texts end to end, then padding.
        lengths: int[B, S], how many tokens each text of a row has; zero where there are fewer than S texts.
    """

    input_ids: Any
    lengths: Any


AnyBatch: TypeAlias = Batch | PackedBatch


def pack(tokens: RaggedIds, budget: int) -> Iterator[tuple[PackedBatch, NDArray[np.intp]]]:
    """Packs texts into batches of few shapes, those of the longest texts first.

    Args:
        tokens: Texts of at least one token each.
        budget: Most tokens a batch.

    Yields:
        A batch of int32 arrays, and int[B, S], the text that lies in each of its places, or -1.
    """
    for texts, row_length in _rows(tokens.lengths):
        most = max(1, budget // row_length)
        for start in range(0, len(texts), most):
            part = _trimmed(texts[start : start + most], row_length)
            rows = max(1, most // FEWEST_ROWS, min(most, 1 << (len(part) - 1).bit_length()))
            part = np.pad(part, ((0, rows - len(part)), (0, 0)), constant_values=NO_TEXT)
            yield _laid_out(tokens, part, row_length), part


def _rows(lengths: NDArray[np.int32]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Yields the texts of all rows of one length, int[B, S], those with the fewest first; and that length, T.

    A row takes the longest text that is left and still fits, over and over. Texts of one length are all alike, so what
    one row takes, others can take too, as often as there are such texts.
    """
    left = {length: np.flatnonzero(lengths == length) for length in np.unique(lengths)[::-1].tolist()}
    while left:
        row_length = max(ROW_LENGTH, 1 << (next(iter(left)) - 1).bit_length())
        places, rows = row_length // _TOKENS_A_PLACE[-1], []
        while left and (row_length == ROW_LENGTH or next(iter(left)) > row_length // 2):
            taken = _fill({length: len(texts) for length, texts in left.items()}, row_length, places)
            times = min(len(left[length]) // count for length, count in taken.items())
            row = np.hstack([left[length][: count * times].reshape(times, count) for length, count in taken.items()])
            rows.append(np.pad(row, ((0, 0), (0, places - row.shape[1])), constant_values=NO_TEXT))
            left = {length: texts[taken[length] * times :] for length, texts in left.items()}
            left = {length: texts for length, texts in left.items() if len(texts)}
        texts = np.vstack(rows)
        yield texts[np.argsort(np.count_nonzero(texts != NO_TEXT, axis=1), kind="stable")], row_length


def _fill(left: dict[int, int], room: int, most: int) -> Counter[int]:
    """Returns how many texts of each length one row takes."""
    taken: Counter[int] = Counter()
    for length, count in left.items():
        fits = min(count, room // length, most - taken.total())
        if fits:
            taken[length], room = fits, room - fits * length
    return taken


def _trimmed(texts: NDArray[np.intp], row_length: int) -> NDArray[np.intp]:
    """Leaves out places that no row needs."""
    numbers = (row_length // tokens_a_place for tokens_a_place in _TOKENS_A_PLACE)
    return texts[:, : next(places for places in numbers if (texts[:, places:] == NO_TEXT).all())]


def _laid_out(tokens: RaggedIds, texts: NDArray[np.intp], row_length: int) -> PackedBatch:
    lengths = np.where(texts == NO_TEXT, 0, tokens.lengths[texts])
    input_ids = np.zeros((len(texts), row_length), np.int32)
    input_ids[np.arange(row_length) < lengths.sum(axis=1, keepdims=True)] = tokens.of(texts[texts != NO_TEXT])
    return PackedBatch(input_ids, lengths.astype(np.int32))
