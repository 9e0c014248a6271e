"""Rows: every text in one row, rows that are full, and no more texts than places."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minilm_jax.tokens.row_filling import Lengths, Rows


def total(rows: list[Rows]) -> dict[int, int]:
    """Return the number of texts by length."""
    found: dict[int, int] = {}
    for row in rows:
        found |= {length: found.get(length, 0) + row.count * count for length, count in row.texts.items()}
    return found


@settings(deadline=None)
@given(st.lists(st.integers(1, 130), max_size=200), st.integers(130, 200), st.integers(1, 20))
def test_every_text_is_in_one_row_that_fits_it(lengths: list[int], room: int, places: int) -> None:
    rows = Lengths(np.array(lengths, np.int32)).fill_rows(room, places)
    assert total(rows) == {length: lengths.count(length) for length in lengths}
    for row in rows:
        assert sum(length * count for length, count in row.texts.items()) <= room
        assert sum(row.texts.values()) <= places


@settings(deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=12))
def test_first_row_has_as_many_tokens_as_possible(lengths: list[int]) -> None:
    sums = {0}
    for length in sorted(lengths)[:-1]:
        sums |= {one + length for one in sums}
    best = max(each for each in sums if each + max(lengths) <= 64)
    first, *_ = Lengths(np.array(lengths, np.int32)).fill_rows(64, 64)
    assert sum(length * count for length, count in first.texts.items()) == max(lengths) + best


@pytest.mark.parametrize("room", [64, 256, 512])
def test_rows_of_many_texts_are_almost_full(room: int) -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 3_000).astype(np.int32)
    rows = sum(row.count for row in Lengths(lengths).fill_rows(room, room // 4))
    assert lengths.sum() > 0.97 * rows * room


def test_shorter_texts_only_fill_the_rows_of_longer_ones() -> None:
    left = Lengths(np.array([50, 40, 10, 10, 10, 5], np.int32))
    assert total(left.fill_rows(64, 16, longer_than=20)) == {50: 1, 40: 1, 10: 3}
    left = Lengths(np.array([50, 10, 10, 10, 10], np.int32))
    assert total(left.fill_rows(64, 16, longer_than=20)) == {50: 1, 10: 1}
    assert left.longest == 10


def test_number_of_rows_can_be_limited() -> None:
    left = Lengths(np.full(10, 30, np.int32))
    assert total(left.fill_rows(64, 16, most=2)) == {30: 4}
    assert total(left.copy().fill_rows(64, 16)) == total(left.fill_rows(64, 16)) == {30: 6}
    assert not left.fill_rows(64, 16)
    assert left.longest == 0
