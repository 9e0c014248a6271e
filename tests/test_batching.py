"""Ragged ids to padded batches of few shapes, and the bound on their number."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minilm_jax.batching import LENGTH_BUCKETS, TOKEN_BUDGET, RaggedIds, bucket_length, plan


def ragged(lengths: list[int]) -> RaggedIds:
    ids = [100 * row + place + 1 for row, length in enumerate(lengths) for place in range(length)]
    return RaggedIds(np.array(ids, np.int32), np.array(lengths, np.int32))


@given(st.lists(st.integers(2, 512), max_size=300), st.sampled_from([None, 1, 3, 64]))
def test_every_text_is_in_one_batch_that_it_fits(lengths: list[int], batch_size: int | None) -> None:
    seen: list[int] = []
    for rows, (b, t) in plan(np.array(lengths, np.int32), batch_size):
        assert 0 < len(rows) <= b
        assert max(lengths[row] for row in rows) <= t
        assert t in LENGTH_BUCKETS
        assert b * t <= max(TOKEN_BUDGET, t) or batch_size is not None
        seen.extend(int(row) for row in rows)
    assert sorted(seen) == list(range(len(lengths)))


@given(st.lists(st.integers(2, 512), min_size=1, max_size=3000))
def test_one_call_has_at_most_one_shape_a_length_and_one_for_the_rest(lengths: list[int]) -> None:
    shapes = {shape for _, shape in plan(np.array(lengths, np.int32))}
    assert len(shapes) <= len({bucket_length(length) for length in lengths}) + 1


def test_all_shapes_that_can_ever_be_compiled() -> None:
    shapes = {
        shape
        for length in LENGTH_BUCKETS
        for count in range(1, 300)
        for _, shape in plan(np.full(count, length, np.int32))
    }
    # A full batch and the powers of two below it, for each length.
    assert len(shapes) <= sum((TOKEN_BUDGET // length).bit_length() + 1 for length in LENGTH_BUCKETS)


def test_many_texts_are_padded_little() -> None:
    lengths = np.random.default_rng(0).integers(5, 257, 20_000).astype(np.int32)
    computed = sum(b * t for _, (b, t) in plan(lengths))
    assert computed < 1.1 * lengths.sum()


def test_pad_lays_the_ids_out() -> None:
    tokens = ragged([2, 3, 1])
    batch = tokens.pad(np.array([2, 1]), (4, 3))
    np.testing.assert_array_equal(batch.input_ids, [[201, 0, 0], [101, 102, 103], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch.attention_mask, [[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert all(array.dtype == np.int32 for array in batch)


@pytest.mark.parametrize(("length", "bucket"), [(1, 8), (8, 8), (9, 10), (25, 26), (256, 256), (512, 512), (600, 600)])
def test_bucket_length(length: int, bucket: int) -> None:
    assert bucket_length(length) == bucket
