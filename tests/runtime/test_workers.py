"""Worker threads: results in order, items taken as needed, and errors passed on."""

import threading
import time
from collections.abc import Iterator

import pytest

from minilm_jax.runtime.workers import parallel_map, prefetch


def test_parallel_map_keeps_the_order_of_the_items() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * item

    assert list(parallel_map(slow_first, range(20), 4)) == [i * i for i in range(20)]


def test_parallel_map_runs_several_items_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    assert len(list(parallel_map(lambda _: together.wait(), range(6), 3))) == 6


@pytest.mark.parametrize(("items", "workers"), [(0, 4), (1, 4), (5, 1)])
def test_parallel_map_uses_no_thread_for_one_item_or_one_worker(items: int, workers: int) -> None:
    threads = list(parallel_map(lambda _: threading.current_thread(), range(items), workers))
    assert threads == [threading.main_thread()] * items


def test_parallel_map_takes_items_as_needed() -> None:
    taken: list[int] = []
    threads = threading.active_count()

    def items() -> Iterator[int]:
        for item in range(1_000):
            taken.append(item)
            yield item

    results = parallel_map(str, items(), 2)
    assert [next(results) for _ in range(3)] == ["0", "1", "2"]
    assert len(taken) < 12
    results.close()  # pyright: ignore[reportAttributeAccessIssue] parallel_map is a generator
    assert threading.active_count() == threads


def test_parallel_map_stops_after_an_error() -> None:
    done: list[int] = []

    def fails(item: int) -> None:
        if item == 3:
            raise ValueError("item 3")
        done.append(item)

    with pytest.raises(ValueError, match="item 3"):
        list(parallel_map(fails, range(1_000), 2))
    assert len(done) < 20


def test_prefetch_takes_one_item_ahead() -> None:
    taken: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for item in range(5):
            taken.append(item)
            if item == 1:
                second.set()
            yield item

    results = prefetch(map(str, items()))
    assert next(results) == "0"
    assert second.wait(timeout=10)
    assert taken == [0, 1]
    assert list(results) == ["1", "2", "3", "4"]
    assert list(prefetch([])) == []


def test_prefetch_raises_an_error_at_the_position_of_its_item() -> None:
    results = prefetch(1 // item for item in [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
