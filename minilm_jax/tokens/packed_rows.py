"""Rows that hold several texts each, so that accelerators compute almost no padding; numpy only."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.tokens.batching import Batch, RaggedIds

# The shortest row has this many tokens, the width of an accelerator's matrix units; longer texts get rows of 2, 4, …
# times this length. Longer rows would waste work on attention between texts, which is computed and then masked.
ROW_LENGTH = 128

# A row has one place for a text per 32 tokens if that is enough for every row, otherwise one per 4 tokens.
_TOKENS_PER_PLACE = (32, 4)

# The smallest batch has 1/8 of the rows of the largest, which bounds the number of shapes.
FEWEST_ROWS = 8

# This index marks a place without a text.
NO_TEXT = -1


class PackedBatch(NamedTuple):
    """Token ids of texts, several per row; a pytree of numpy or jax arrays.

    Attributes:
        input_ids: int[B, T], the concatenated token ids of each row's texts, followed by padding.
        lengths: int[B, S], the number of tokens of each text in a row; zeros after a row's last text.
    """

    input_ids: Any
    lengths: Any


AnyBatch: TypeAlias = Batch | PackedBatch


def check_shapes(batch: PackedBatch) -> None:
    """Raise InputError if the arrays of packed rows, which may be traced, do not fit each other."""
    shape, places_shape = np.shape(batch.input_ids), np.shape(batch.lengths)
    if len(shape) != 2 or len(places_shape) != 2 or shape[0] != places_shape[0]:
        raise InputError(f"input_ids has shape {shape}, lengths {places_shape}; they must be [B, T] and [B, S].")


def check_lengths(batch: PackedBatch) -> None:
    """Raise InputError if the texts do not fit their rows; compiled code would ignore the tokens outside."""
    check_shapes(batch)
    lengths, row_length = np.asarray(batch.lengths).astype(np.int64), np.shape(batch.input_ids)[1]
    misfits = np.flatnonzero((lengths < 0).any(axis=1) | (lengths.sum(axis=1) > row_length))
    if len(misfits):
        found = lengths[misfits[0]].tolist()
        raise InputError(
            f"the lengths of row {misfits[0]} are {found!s:.100}; none may be negative, and their sum may not exceed"
            f" the {row_length} tokens of the row."
        )


def pack(tokens: RaggedIds, budget: int) -> Iterator[tuple[PackedBatch, NDArray[np.intp]]]:
    """Pack texts into batches of few shapes, the longest texts first.

    Args:
        tokens: Texts of at least one token each.
        budget: Maximum tokens per batch.

    Yields:
        A batch of int32 arrays, and int[B, S], the index of the text in each place, or -1.
    """
    for texts, row_length in _fill_rows(tokens.lengths):
        most = max(1, budget // row_length)
        for start in range(0, len(texts), most):
            part = _without_empty_places(texts[start : start + most], row_length)
            rows = max(1, most // FEWEST_ROWS, min(most, 1 << (len(part) - 1).bit_length()))
            part = np.pad(part, ((0, rows - len(part)), (0, 0)), constant_values=NO_TEXT)
            yield _packed_batch(tokens, part, row_length), part


def _fill_rows(lengths: NDArray[np.int32]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Yield all rows of one length at a time: the texts in each row, int[B, S], and the row length, T.

    Rows with the fewest texts come first. A row takes the longest remaining text that fits, repeatedly. Texts of one
    length are interchangeable, so the choice for one row is repeated for as many rows as there are such texts.
    """
    left = {length: np.flatnonzero(lengths == length) for length in np.unique(lengths)[::-1].tolist()}
    while left:
        row_length = max(ROW_LENGTH, 1 << (next(iter(left)) - 1).bit_length())
        places, rows = row_length // _TOKENS_PER_PLACE[-1], []
        while left and (row_length == ROW_LENGTH or next(iter(left)) > row_length // 2):
            taken = _fill_row({length: len(texts) for length, texts in left.items()}, row_length, places)
            times = min(len(left[length]) // count for length, count in taken.items())
            row = np.hstack([left[length][: count * times].reshape(times, count) for length, count in taken.items()])
            rows.append(np.pad(row, ((0, 0), (0, places - row.shape[1])), constant_values=NO_TEXT))
            left = {length: texts[taken[length] * times :] for length, texts in left.items()}
            left = {length: texts for length, texts in left.items() if len(texts)}
        texts = np.vstack(rows)
        yield texts[np.argsort(np.count_nonzero(texts != NO_TEXT, axis=1), kind="stable")], row_length


def _fill_row(left: dict[int, int], room: int, places: int) -> Counter[int]:
    """Choose the texts of one row; return their number by length."""
    taken: Counter[int] = Counter()
    for length, count in left.items():
        fits = min(count, room // length, places - taken.total())
        if fits:
            taken[length], room = fits, room - fits * length
    return taken


def _without_empty_places(texts: NDArray[np.intp], row_length: int) -> NDArray[np.intp]:
    """Remove the last places if no row uses them."""
    counts = (row_length // tokens_per_place for tokens_per_place in _TOKENS_PER_PLACE)
    return texts[:, : next(places for places in counts if (texts[:, places:] == NO_TEXT).all())]


def _packed_batch(tokens: RaggedIds, texts: NDArray[np.intp], row_length: int) -> PackedBatch:
    lengths = np.where(texts == NO_TEXT, 0, tokens.lengths[texts])
    input_ids = np.zeros((len(texts), row_length), np.int32)
    input_ids[np.arange(row_length) < lengths.sum(axis=1, keepdims=True)] = tokens.of(texts[texts != NO_TEXT])
    return PackedBatch(input_ids, lengths.astype(np.int32))
