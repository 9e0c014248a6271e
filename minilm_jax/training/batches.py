"""Batches of training data: a shuffle that depends on the epoch only, and packed rows of few shapes."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.tokens.batch_plan import rows_of
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.packed_rows import NO_TEXT, PackedBatch, pack

# Rows have at least this many tokens, so that they are almost full.
_SHORTEST_ROW = 64
_ROW_MULTIPLE = 32
# The shapes are chosen by the first steps of the run, up to this many.
_SAMPLE = 400
# A program is worth as much as this many computed tokens, about 5 seconds on CPU.
_TOKENS_PER_PROGRAM = 8_000
_MOST_SHAPES = 3


class TrainingBatch(NamedTuple):
    """The inputs of one step; a pytree of arrays.

    Attributes:
        packed: The token ids of all texts of the batch.
        places: int32[C, B], the place of each text of each of the C columns, counted over all places of all rows.
        labels: int32 or float32[B], or float32[B, L]; or None.
        ids: int32[B, C], equal for equal texts.
    """

    packed: PackedBatch
    places: Any
    labels: Any
    ids: Any


class Batches:
    """The batches of a run, by the number of the step; nothing but that number is state.

    Attributes:
        row_length: Tokens per row, T.
        row_counts: The numbers of rows that batches may have.
        chunk_rows: Rows per chunk, or None without chunks.
    """

    def __init__(
        self,
        tokens: RaggedIds,
        ids: NDArray[np.int32],
        labels: NDArray[Any] | None,
        batch_size: int,
        *,
        seed: int,
        steps: int,
        chunk_tokens: int | None = None,
        devices: int = 1,
    ) -> None:
        """Choose the shapes.

        Args:
            tokens: Token ids of C · n texts, column by column.
            ids: int32[n, C], equal for equal texts.
            labels: The labels of the n rows, or None.
            batch_size: Rows of the data per batch, B.
            seed: Number that determines the order.
            steps: Number of batches.
            chunk_tokens: Maximum tokens that are computed at a time, or None. Larger batches are whole chunks.
            devices: The number of rows of a batch is a multiple of this.

        Raises:
            InputError: There are fewer than batch_size rows.
        """
        if len(ids) < batch_size:
            raise InputError(f"the data has {len(ids)} rows, but batch_size is {batch_size}; use a smaller one.")
        self._tokens, self._ids, self._labels = tokens, ids, labels
        self._batch_size, self._seed, self._devices = batch_size, seed, devices
        # A batch has rows of at most two epochs.
        self._order = functools.lru_cache(maxsize=2)(self._permutation)
        longest = int(tokens.lengths.max())
        self.row_length = max(_SHORTEST_ROW, -(-longest // _ROW_MULTIPLE) * _ROW_MULTIPLE)
        self.chunk_rows = None if chunk_tokens is None else max(1, chunk_tokens // self.row_length)
        needed = [self._rounded(len(self._rows(step)[1])) for step in range(min(steps, _SAMPLE))]
        self.row_counts = _row_counts(np.array(needed), steps, self.row_length)

    def epoch(self, step: int) -> float:
        """Return how often the data has been used before a step."""
        return step * self._batch_size / len(self._ids)

    def __getitem__(self, step: int) -> TrainingBatch:
        """Return the batch of a step, counted from 0."""
        chosen, rows = self._rows(step)
        # A later epoch may need more rows than any sampled step.
        count = next((count for count in self.row_counts if count >= len(rows)), 0) or self._larger(len(rows))
        arrangement = np.pad(rows, ((0, count - len(rows)), (0, 0)), constant_values=NO_TEXT)
        columns = self._ids.shape[1]
        texts = (np.arange(columns)[:, None] * len(self._ids) + chosen).reshape(-1)
        arranged = np.where(arrangement == NO_TEXT, NO_TEXT, texts[arrangement])
        places = np.empty(len(texts), np.int32)
        used = np.flatnonzero(arrangement.reshape(-1) != NO_TEXT)
        places[arrangement.reshape(-1)[used]] = used
        labels = None if self._labels is None else self._labels[chosen]
        packed = pack(self._tokens, arranged, self.row_length)
        return TrainingBatch(packed, places.reshape(columns, -1), labels, self._ids[chosen])

    def rows(self, step: int) -> NDArray[np.intp]:
        """Return the rows of the data in a batch, int[B].

        The order is one permutation after the other, so every batch is full and every row is used equally often.
        """
        positions = step * self._batch_size + np.arange(self._batch_size)
        epochs, places = np.divmod(positions, len(self._ids))
        return np.concatenate([self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def _permutation(self, epoch: int) -> NDArray[np.intp]:
        return np.random.Generator(np.random.Philox([self._seed, epoch])).permutation(len(self._ids))

    def _rows(self, step: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        chosen = self.rows(step)
        lengths = self._tokens.lengths.reshape(-1, len(self._ids))[:, chosen].reshape(-1)
        return chosen, rows_of(lengths, self.row_length)

    def _rounded(self, count: int) -> int:
        """Return a number of rows that divides evenly into chunks and among devices."""
        is_chunked = self.chunk_rows is not None and count > self.chunk_rows
        multiple = math.lcm(self.chunk_rows or 1, self._devices) if is_chunked else self._devices
        return -(-count // multiple) * multiple

    def _larger(self, count: int) -> int:
        """Return a number of rows above the largest expected one: that one doubled until it fits."""
        largest = self.row_counts[-1]
        while largest < count:
            largest *= 2
        return self._rounded(largest)


def _row_counts(needed: NDArray[np.intp], steps: int, row_length: int) -> list[int]:
    """Return the numbers of rows for which padding and compilation cost least together, ascending."""
    values = np.unique(needed)
    chosen = [int(values[-1])]
    while len(chosen) < _MOST_SHAPES:
        options = [sorted([*chosen, int(value)]) for value in values if value not in chosen]
        best = min(options, key=lambda counts: _rows_in_all(needed, counts), default=chosen)
        saved = (_rows_in_all(needed, chosen) - _rows_in_all(needed, best)) * steps / len(needed) * row_length
        if saved <= _TOKENS_PER_PROGRAM:
            break
        chosen = best
    return chosen


def _rows_in_all(needed: NDArray[np.intp], counts: list[int]) -> int:
    return int(np.array(counts)[np.searchsorted(counts, needed)].sum())
