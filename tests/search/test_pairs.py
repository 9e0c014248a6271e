"""All pairs above a threshold: complete, sorted, and in bounded memory."""

import numpy as np
import pytest
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.search import pairs as module
from minilm_jax.search.pairs import sorted_pairs


def unit_vectors(count: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("run", [2**20, 100])
def test_all_pairs_are_found_and_sorted(run: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAIRS_PER_RUN", run)
    monkeypatch.setattr(module, "_PAIRS_PER_READ", 7)
    monkeypatch.setattr(module, "QUERIES_PER_TILE", 64)
    vectors = unit_vectors(300)
    with sorted_pairs(vectors, 0.5) as pairs:
        found = list(pairs)
    cosines = vectors @ vectors.T
    expected = {(i, j) for i, j in np.argwhere(cosines >= 0.5).tolist() if i < j}
    assert {(i, j) for _, i, j in found} == expected
    assert len(found) == len(expected) == pairs.total
    assert found == sorted(found, key=lambda pair: (-pair[0], *pair[1:]))
    np.testing.assert_allclose([score for score, _, _ in found], [cosines[i, j] for _, i, j in found], atol=1e-6)


def test_limit_keeps_the_best_pairs_and_the_count_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAIRS_PER_RUN", 50)
    monkeypatch.setattr(module, "QUERIES_PER_TILE", 16)
    vectors = unit_vectors(100)
    with sorted_pairs(vectors, -1) as every, sorted_pairs(vectors, -1, limit=9) as best:
        assert every.total == best.total == 100 * 99 // 2
        assert list(best) == list(every)[:9]


def test_identical_vectors_give_every_pair_in_the_order_of_rows() -> None:
    with sorted_pairs(np.eye(1, 4, dtype=np.float32).repeat(150, axis=0), 1) as pairs:
        assert [(i, j) for _, i, j in pairs] == [(i, j) for i in range(150) for j in range(i + 1, 150)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_vectors_have_no_pairs(count: int) -> None:
    with sorted_pairs(unit_vectors(count), -1) as pairs:
        assert (pairs.total, list(pairs)) == (0, [])


def test_nan_is_an_error() -> None:
    with pytest.raises(InputError, match="NaN"), sorted_pairs(np.full((2, 3), np.nan, np.float32), 0):
        pass
