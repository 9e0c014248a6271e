"""Rows that hold several texts each, so that almost no padding is computed; numpy only."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.tokens.batching import Batch, RaggedIds

# This index marks a place without a text.
NO_TEXT = -1


class PackedBatch(NamedTuple):
    """Token ids of texts, several per row; a pytree of numpy or jax arrays.

    Attributes:
        input_ids: int[B, T], the concatenated token ids of each row's texts, followed by padding.
        lengths: int[B, S], the number of tokens of each text in a row; zeros after a row's last text.
        first_lengths: int[B, S], for pairs of texts, the tokens of each pair that have the token type 0, see
            `RaggedIds`; or None for all zeros.
    """

    input_ids: Any
    lengths: Any
    first_lengths: Any = None


AnyBatch: TypeAlias = Batch | PackedBatch


def check_shapes(batch: PackedBatch) -> None:
    """Raise InputError if the arrays of packed rows, which may be traced, do not fit each other."""
    shape, places_shape = np.shape(batch.input_ids), np.shape(batch.lengths)
    if len(shape) != 2 or len(places_shape) != 2 or shape[0] != places_shape[0]:
        raise InputError(f"input_ids has shape {shape}, lengths {places_shape}; they must be [B, T] and [B, S].")
    if batch.first_lengths is not None and np.shape(batch.first_lengths) != places_shape:
        found = np.shape(batch.first_lengths)
        raise InputError(f"first_lengths has shape {found}, lengths {places_shape}; they must be equal.")


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


def pack(tokens: RaggedIds, texts: NDArray[np.intp], row_length: int) -> PackedBatch:
    """Arrange texts in rows.

    Args:
        tokens: The token ids of all texts.
        texts: int[B, S], the index of the text in each place of each row, or NO_TEXT after a row's last text.
        row_length: T, at least the tokens of the texts in any row.

    Returns:
        A batch of int32 arrays.
    """
    used = texts != NO_TEXT
    lengths = np.where(used, tokens.lengths[texts], 0).astype(np.int32)
    input_ids = np.zeros((len(texts), row_length), np.int32)
    input_ids[np.arange(row_length) < lengths.sum(axis=1, keepdims=True)] = tokens.of(texts[used])
    if tokens.first_lengths is None:
        return PackedBatch(input_ids, lengths)
    return PackedBatch(input_ids, lengths, np.where(used, tokens.first_lengths[texts], 0).astype(np.int32))
