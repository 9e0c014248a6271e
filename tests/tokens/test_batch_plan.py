"""Plans: every text in one batch that fits it, few shapes whatever came before, and little padding."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from minilm_jax.runtime import devices
from minilm_jax.tokens.batch_plan import BatchPlanner
from minilm_jax.tokens.batch_shapes import MOST_PROGRAMS

RULES = {"cpu": devices._CPU_SHAPES, "accelerator": devices._ACCELERATOR_SHAPES}
QUERIES = devices._CPU_SHAPES.query_lengths
JOBS = st.lists(
    st.tuples(st.integers(3, 512), st.integers(1, 300), st.sampled_from([None, None, 1, 3, 32])),
    min_size=1,
    max_size=12,
)


def random_lengths(longest: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, longest + 1, count).astype(np.int32)


def computed(planner: BatchPlanner, lengths: np.ndarray, longest: int = 256, batch_size: int | None = None) -> int:
    """Plan a job, check it, and return the number of computed tokens."""
    seen, shapes, total = [], set(), 0
    for texts, row_length in planner.plan(lengths, longest, batch_size):
        used = texts >= 0
        assert (np.where(used, lengths[texts], 0).sum(axis=1) <= row_length).all()
        assert (np.diff(used.astype(int), axis=1) <= 0).all()  # Places without a text are at the end of a row.
        assert 0 < used.sum() <= (batch_size or used.sum())
        seen.extend(texts[used].tolist())
        shapes.add((len(texts), row_length))
        total += len(texts) * row_length
    assert sorted(seen) == list(range(len(lengths)))
    assert len(shapes) <= 4
    return total


@pytest.mark.parametrize("kind", RULES)
@settings(deadline=None, max_examples=25)
@given(jobs=JOBS)
def test_any_jobs_need_at_most_eight_shapes_and_four_per_job(
    kind: str, jobs: list[tuple[int, int, int | None]]
) -> None:
    planner = BatchPlanner(RULES[kind])
    for seed, (longest, count, batch_size) in enumerate(jobs):
        computed(planner, random_lengths(longest, count, seed), 512, batch_size)
        assert len(planner.shapes) <= MOST_PROGRAMS


def test_no_texts_need_no_batch() -> None:
    assert not list(BatchPlanner(RULES["cpu"]).plan(np.empty(0, np.int32), 256))


@pytest.mark.parametrize("longest", [20, 60, 256])
@pytest.mark.parametrize(("count", "padding"), [(300, 0.08), (3_000, 0.04)])
def test_lists_have_little_padding(longest: int, count: int, padding: float) -> None:
    lengths = random_lengths(longest, count)
    assert 1 - lengths.sum() / computed(BatchPlanner(RULES["cpu"]), lengths) < padding


def test_equal_lengths_between_two_row_lengths_get_their_own_shape() -> None:
    lengths = np.full(300, 140, np.int32)
    assert 1 - lengths.sum() / computed(BatchPlanner(RULES["cpu"]), lengths) < 0.15


@settings(deadline=None, max_examples=25)
@given(jobs=JOBS, warm=st.booleans())
@example(jobs=[(97, 128, None), (3, 54, 1)], warm=True)
def test_query_gets_the_shortest_row_whatever_came_before(jobs: list[tuple[int, int, int | None]], warm: bool) -> None:
    planner = BatchPlanner(RULES["cpu"])
    for seed, (longest, count, batch_size) in enumerate(jobs):
        computed(planner, random_lengths(longest, count, seed), 512, batch_size)
    for row in QUERIES:
        computed(planner, np.array([row], np.int32), 512)
    planner.closed = warm
    for length in range(2, 65):
        row = min(each for each in QUERIES if each >= length)
        assert computed(planner, np.array([length], np.int32), 512) == row


def test_short_models_use_the_shapes_for_queries() -> None:
    planner = BatchPlanner(RULES["cpu"])
    for count in (1, 2, 3):
        computed(planner, random_lengths(50, count), 50)
    assert planner.shapes <= {*RULES["cpu"].expected_shapes(50)}


def test_repeated_texts_of_one_length_get_a_better_shape() -> None:
    planner = BatchPlanner(RULES["cpu"])
    text = np.array([100], np.int32)
    tokens = [computed(planner, text) for _ in range(50)]
    assert tokens[0] == 256
    assert tokens[-1] <= 128


@pytest.mark.parametrize("kind", RULES)
@settings(deadline=None, max_examples=25)
@given(jobs=JOBS)
def test_closed_planner_adds_no_shapes(kind: str, jobs: list[tuple[int, int, int | None]]) -> None:
    planner = BatchPlanner(RULES[kind])
    computed(planner, np.array([512], np.int32), 512)
    planner.closed, shapes = True, planner.shapes.copy()
    for seed, (longest, count, batch_size) in enumerate(jobs):
        computed(planner, random_lengths(longest, count, seed), 512, batch_size)
        assert planner.shapes == shapes
    computed(planner, np.array([2_000], np.int32), 2_000)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("longest", [30, 64, 256, 512])
def test_shapes_for_requests_are_few_and_fit_every_text(kind: str, count: int, longest: int) -> None:
    rules = devices.dataclasses.replace(RULES[kind], devices=count)
    shapes = rules.request_shapes(longest)
    assert len({*shapes}) == len(shapes) <= MOST_PROGRAMS
    assert {*rules.expected_shapes(longest)} - {*rules.query_shapes} <= {*shapes}
    assert all(rows % count == 0 for rows, _ in shapes)
    assert max(length for _, length in shapes) >= longest


def test_longer_texts_than_expected_fit() -> None:
    planner = BatchPlanner(RULES["cpu"])
    for longest in (64, 256, 512, 2_048):
        assert computed(planner, np.array([longest, 10], np.int32), longest) >= longest + 10


def test_batches_have_a_multiple_of_the_number_of_devices() -> None:
    planner = BatchPlanner(devices.dataclasses.replace(RULES["cpu"], devices=8))
    for count in (1, 5, 400):
        for texts, _ in planner.plan(random_lengths(200, count), 256):
            assert len(texts) % 8 == 0


@pytest.mark.parametrize("longest", [16, 100, 250, 512])
def test_accelerators_compute_less_than_one_percent_padding(longest: int) -> None:
    lengths = random_lengths(longest, 100_000)
    # The last batch may be half empty.
    assert computed(BatchPlanner(RULES["accelerator"]), lengths, 512) < 1.01 * lengths.sum() + 16_384
