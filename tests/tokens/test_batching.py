"""Padded batches: every text fits, few shapes are compiled, and little padding is computed."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minilm_jax.tokens import batching
from minilm_jax.tokens.batching import (
    LENGTH_BUCKETS,
    TOKEN_BUDGET,
    Batch,
    Shape,
    bucket_length,
    choose_lengths,
    plan,
    split_rows,
)
from tests.helpers.token_ids import ragged


@given(
    st.lists(st.integers(2, 512), max_size=300),
    st.sampled_from([None, 1, 3, 64]),
    st.integers(1, 9),
    st.sets(st.tuples(st.sampled_from([1, 2, 16, 64]), st.sampled_from(LENGTH_BUCKETS))),
)
def test_plan_puts_every_text_in_exactly_one_batch_that_fits_it(
    lengths: list[int], batch_size: int | None, workers: int, compiled: set[Shape]
) -> None:
    seen: list[int] = []
    for rows, (b, t) in plan(np.array(lengths, np.int32), batch_size, workers=workers, compiled=compiled):
        assert 0 < len(rows) <= b
        assert max(lengths[row] for row in rows) <= t
        assert t in LENGTH_BUCKETS
        assert b * t <= max(TOKEN_BUDGET, t)
        assert b <= (batch_size or b)
        seen.extend(int(row) for row in rows)
    assert sorted(seen) == list(range(len(lengths)))


@given(st.lists(st.integers(2, 512), min_size=1, max_size=3000))
def test_plan_has_at_most_one_shape_per_length_bucket_plus_one(lengths: list[int]) -> None:
    shapes = {shape for _, shape in plan(np.array(lengths, np.int32))}
    assert len(shapes) <= len({bucket_length(length) for length in lengths}) + 1


def test_plan_shapes_have_a_power_of_two_rows_within_the_token_budget() -> None:
    shapes = {
        shape
        for length in LENGTH_BUCKETS
        for count in range(1, 300)
        for workers in (1, 2, 8)
        for _, shape in plan(np.full(count, length, np.int32), workers=workers)
    }
    # For each length: every power of two of rows within the token budget.
    assert shapes <= {(1 << k, t) for t in LENGTH_BUCKETS for k in range(max(1, TOKEN_BUDGET // t).bit_length())}


def test_plan_of_many_texts_adds_less_than_ten_percent_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 257, 20_000).astype(np.int32)
    computed = sum(b * t for _, (b, t) in plan(lengths))
    assert computed < 1.1 * lengths.sum()


def test_choose_lengths_of_few_texts_gives_few_lengths() -> None:
    lengths = np.random.default_rng(0).integers(5, 257, 30).astype(np.int32)
    assert len(choose_lengths(lengths)) <= 4
    assert len(choose_lengths(np.full(1, 13, np.int32))) == 1


def test_plan_prefers_compiled_shapes() -> None:
    ((_, shape),) = plan(np.full(1, 9, np.int32), compiled={(1, 16)})
    assert shape == (1, 16)
    ((_, shape),) = plan(np.full(1, 9, np.int32))
    assert shape == (1, 10)


@given(st.lists(st.integers(2, 512), min_size=1, max_size=40), st.sets(st.sampled_from(LENGTH_BUCKETS), max_size=4))
def test_choose_lengths_finds_the_cheapest_lengths(lengths: list[int], compiled: set[int]) -> None:
    def cost(steps: Sequence[int]) -> int:
        padded = [next(step for step in steps if step >= length) for length in lengths]
        return sum(padded) + batching._COMPILE_COST * len(set(padded) - compiled)

    best = cost(choose_lengths(np.array(lengths, np.int32), compiled))
    top = bucket_length(max(lengths))
    for lower in itertools.combinations([0, *(b for b in LENGTH_BUCKETS if b < top)][::3], 2):
        assert best <= cost([*lower, top])


def test_plan_gives_every_worker_a_batch() -> None:
    lengths = np.full(256, 16, np.int32)
    assert [shape for _, shape in plan(lengths)] == [(64, 16)] * 4
    assert [shape for _, shape in plan(lengths, workers=2)] == [(32, 16)] * 8
    assert [shape for _, shape in plan(lengths, workers=64)] == [(16, 16)] * 16


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
    parts_found = split_rows(Batch(ids, np.ones_like(ids)))
    assert [part.input_ids.shape for part in parts_found] == [(shape[0] // parts, shape[1])] * parts
    assert all(part.token_type_ids is None for part in parts_found)
    np.testing.assert_array_equal(np.vstack([part.input_ids for part in parts_found]), ids)
