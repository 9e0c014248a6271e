"""Batches: a shuffle by epoch, equal use of all rows, packed texts in few shapes."""

import numpy as np
import pytest

from minilm_jax.errors import InputError
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.training.batches import Batches

ROWS, COLUMNS, SIZE = 50, 2, 8


def batches(rows: int = ROWS, steps: int = 25, **settings) -> Batches:
    """Return batches of texts whose tokens are all the number of the text, plus one."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, 40, COLUMNS * rows).astype(np.int32)
    tokens = RaggedIds(np.repeat(np.arange(1, COLUMNS * rows + 1, dtype=np.int32), lengths), lengths)
    ids = np.arange(COLUMNS * rows, dtype=np.int32).reshape(COLUMNS, rows).T
    labels = np.arange(rows, dtype=np.float32)
    return Batches(tokens, ids, labels, settings.pop("batch_size", SIZE), **{"seed": 0, "steps": steps, **settings})


def test_places_point_to_the_texts_of_the_rows() -> None:
    found = batches()
    for step in range(5):
        batch, rows = found[step], found.rows(step)
        starts = np.cumsum(batch.packed.lengths, axis=1) - batch.packed.lengths
        first = np.take_along_axis(batch.packed.input_ids, np.minimum(starts, found.row_length - 1), axis=1)
        expected = 1 + rows + ROWS * np.arange(COLUMNS)[:, None]
        np.testing.assert_array_equal(first.reshape(-1)[batch.places], expected)
        np.testing.assert_array_equal(batch.labels, rows)
        np.testing.assert_array_equal(batch.ids, np.stack([rows, rows + ROWS], axis=1))


def test_every_row_is_used_once_per_epoch_in_another_order() -> None:
    found = batches()
    order = np.concatenate([found.rows(step) for step in range(25)])
    first, second = order[:ROWS], order[ROWS : 2 * ROWS]
    assert sorted(first) == sorted(second) == [*range(ROWS)]
    assert first.tolist() != second.tolist()
    assert found.epoch(25) == 4.0


def test_order_depends_on_seed_and_step_only() -> None:
    assert batches().rows(11).tolist() == batches().rows(11).tolist()
    assert batches().rows(11).tolist() != batches(seed=1).rows(11).tolist()


def test_batches_have_few_shapes() -> None:
    found = batches(steps=200)
    shapes = {found[step].packed.input_ids.shape for step in range(200)}
    assert {rows for rows, _ in shapes} <= set(found.row_counts)
    assert len(found.row_counts) <= 3


def test_rows_divide_among_devices_and_into_chunks() -> None:
    assert len(batches(devices=4)[0].packed.input_ids) % 4 == 0
    chunked = batches(chunk_tokens=200)
    assert chunked.chunk_rows == 3
    assert len(chunked[0].packed.input_ids) % 3 == 0
    # A chunk that is larger than any batch adds no padding.
    assert batches(chunk_tokens=100_000).row_counts == batches().row_counts


def test_step_with_more_rows_than_expected_gets_a_larger_batch() -> None:
    found = batches(steps=1)
    found.row_counts = [1]
    assert len(found[0].packed.input_ids) in (2, 4, 8, 16)


def test_too_few_rows_are_an_error() -> None:
    with pytest.raises(InputError, match="batch_size is 8"):
        batches(rows=7)
