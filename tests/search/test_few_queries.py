"""Search with few queries: arrays in any layout, in bounded memory, without a compiled program."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.search.tiles import concatenate_for_search
from tests.helpers.tolerances import UNIT_VECTORS

D = 24


def vectors(count, dimensions=D, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dimensions), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def no_programs(monkeypatch):
    """Raise an error where a program would compute the scores."""
    monkeypatch.delattr("minilm_jax.search.exact._search_corpus")


def in_file(rows, path, order):
    np.save(path, np.asarray(rows, order=order))
    return np.load(path, mmap_mode="r")


LAYOUTS = {
    "by rows": lambda rows, path: rows,
    "by columns": lambda rows, path: np.asfortranarray(rows),
    "every second row": lambda rows, path: np.repeat(rows, 2, axis=0)[::2],
    "part of wider rows": lambda rows, path: np.pad(rows, ((0, 0), (3, 2)))[:, 3:-2],
    "reversed": lambda rows, path: rows[::-1, ::-1].copy()[::-1, ::-1],
    "jax array": lambda rows, path: jnp.asarray(rows),
    "file": lambda rows, path: in_file(rows, path, "C"),
    "file by columns": lambda rows, path: in_file(rows, path, "F"),
}


@pytest.mark.usefixtures("no_programs")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", [search.cos_sim, search.dot_score])
@pytest.mark.parametrize("count", [1, 16])
def test_corpus_may_have_any_layout(count, function, layout, tmp_path):
    queries, rows = 2 * vectors(count, seed=1), vectors(50)
    (found,) = search.nearest(queries, LAYOUTS[layout](rows, tmp_path / "rows.npy"), 50, function, corpus_chunk_size=16)
    scores = queries.astype(np.float64) @ rows.T.astype(np.float64)
    np.testing.assert_array_equal(found.ids, np.argsort(-scores, axis=1))
    if function is search.cos_sim:
        scores /= 2
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1), atol=UNIT_VECTORS)
    assert (found.scores.dtype, found.ids.dtype) == (np.float32, np.int32)


@pytest.mark.usefixtures("no_programs")
@pytest.mark.parametrize("order", ["C", "F"])
def test_file_is_not_read_into_memory(order, tmp_path):
    corpus = in_file(np.zeros((30_000, D), np.float32), tmp_path / "rows.npy", order)
    tracemalloc.start()
    try:
        search.semantic_search(vectors(2), corpus, corpus_chunk_size=1_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < corpus.nbytes / 3


@pytest.mark.usefixtures("no_programs")
@pytest.mark.parametrize("dimensions", [17, 127, 384])
@pytest.mark.parametrize("function", [search.cos_sim, search.dot_score])
def test_equal_rows_have_equal_scores_at_any_position(function, dimensions):
    corpus = np.repeat(vectors(1, dimensions), 63, axis=0)
    (found,) = search.nearest(vectors(3, dimensions, seed=1), corpus, 63, function, corpus_chunk_size=40)
    assert (found.scores == found.scores[:, :1]).all()
    assert (found.ids == np.arange(63)).all()


@pytest.mark.usefixtures("no_programs")
def test_tiles_of_several_cores_are_merged_in_order(monkeypatch):
    monkeypatch.setattr("minilm_jax.search.few_queries.usable_cores", lambda: 3)
    corpus = np.tile(vectors(4), (25, 1))
    (found,) = search.nearest(corpus[3], corpus, 25, corpus_chunk_size=6)
    assert found.ids.tolist() == [list(range(3, 100, 4))]


@pytest.mark.parametrize("counts", [(3,), (0, 5, 2)])
def test_vectors_of_an_index_are_one_aligned_read_only_array(counts):
    parts = [vectors(count, seed=count) for count in counts]
    found = concatenate_for_search(parts)
    np.testing.assert_array_equal(found, np.concatenate(parts))
    assert isinstance(found, np.ndarray)
    assert found.ctypes.data % 64 == 0
    assert not found.flags.writeable
