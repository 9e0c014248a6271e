"""Padded batches: ids, masks, lengths, and parts of large batches."""

import numpy as np
import pytest

from minilm_jax.tokens.batching import Batch, Shape, bucket_length, split_rows
from tests.helpers.token_ids import ragged


def test_pad_fills_ids_and_mask_row_by_row() -> None:
    tokens = ragged([2, 3, 1])
    batch = tokens.pad(np.array([2, 1]), (4, 3))
    np.testing.assert_array_equal(batch.input_ids, [[201, 0, 0], [101, 102, 103], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch.attention_mask, [[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int32
    assert batch.token_type_ids is None


@pytest.mark.parametrize(("length", "bucket"), [(1, 8), (8, 8), (9, 10), (25, 26), (256, 256), (512, 512), (600, 600)])
def test_bucket_length_is_the_smallest_bucket_that_fits(length: int, bucket: int) -> None:
    assert bucket_length(length) == bucket


@pytest.mark.parametrize(
    ("shape", "parts"), [((4, 16), 1), ((8, 256), 2), ((16, 512), 8), ((12, 512), 4), ((7, 512), 1), ((1, 512), 1)]
)
def test_split_rows_splits_a_large_batch_by_rows(shape: Shape, parts: int) -> None:
    ids = np.arange(shape[0] * shape[1]).reshape(shape)
    parts_found = split_rows(Batch(ids, np.ones_like(ids)), 1_024)
    assert [part.input_ids.shape for part in parts_found] == [(shape[0] // parts, shape[1])] * parts
    assert all(part.token_type_ids is None for part in parts_found)
    np.testing.assert_array_equal(np.vstack([part.input_ids for part in parts_found]), ids)
