"""`Batcher`: requests share batches, in turns and within the budget; errors stay with their requests."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.serving.batcher import Batcher, Computation
from minilm_jax.tokens.batching import RaggedIds


def texts(*lengths: int, first: int = 0) -> RaggedIds:
    """Return texts of these lengths; all tokens of a text have its number as id."""
    ids = np.repeat(np.arange(first, first + len(lengths)), lengths).astype(np.int32)
    return RaggedIds(ids, np.array(lengths, np.int32))


class Queue(Batcher):
    """A batcher of one computation, whose `submit` returns the future."""

    def __init__(self, compute: Callable[[RaggedIds], list[int]], batch_tokens: int, **options: Any) -> None:
        super().__init__(**options)
        self.computation = Computation(compute, batch_tokens)

    def add(self, tokens: RaggedIds) -> "Future[list[Any]]":
        return self.submit(tokens, self.computation).future


class Device:
    """A device that returns the first id of each text, and computes only while it is free."""

    def __init__(self) -> None:
        self.free, self.batches = threading.Event(), []
        self.errors: set[int] = set()
        self.started = threading.Semaphore(0)

    def __call__(self, tokens: RaggedIds) -> list[int]:
        found = tokens.ids[np.cumsum(tokens.lengths) - tokens.lengths].tolist()
        self.batches.append(found)
        self.started.release()
        assert self.free.wait(30)
        if self.errors & {*found}:
            raise RuntimeError("the device failed")
        return found


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.free.set()


@pytest.fixture
def batcher(device: Device) -> Iterator[Queue]:
    batcher = Queue(device, batch_tokens=10, max_wait=0)
    yield batcher
    device.free.set()
    batcher.close()


def busy(batcher: Queue, device: Device) -> Any:
    """Occupy the device with a first request, so that further ones collect."""
    first = batcher.add(texts(1, first=900))
    assert device.started.acquire(timeout=30)
    return first


def test_requests_that_wait_share_a_batch(batcher: Queue, device: Device) -> None:
    first = busy(batcher, device)
    others = [batcher.add(texts(2, first=number)) for number in range(4)]
    device.free.set()
    assert first.result(30) == [900]
    assert [other.result(30) for other in others] == [[0], [1], [2], [3]]
    assert device.batches == [[900], [0, 1, 2, 3]]
    assert (batcher.stats.batches, batcher.stats.texts, batcher.stats.tokens) == (2, 5, 9)


def test_one_text_does_not_wait_for_a_long_list(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    long, short = batcher.add(texts(*[4] * 6)), batcher.add(texts(4, first=100))
    device.free.set()
    assert short.result(30) == [100]
    assert long.result(30) == [0, 1, 2, 3, 4, 5]
    assert 100 in device.batches[1]


def test_lists_take_turns(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    lists = [batcher.add(texts(5, 5, 5, first=10 * number)) for number in range(3)]
    device.free.set()
    assert [each.result(30) for each in lists] == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]
    # Every two batches, all lists have advanced.
    assert all(len(batch) == 2 for batch in device.batches[1:5])
    assert {number // 10 for batch in device.batches[1:3] for number in batch} == {0, 1, 2}


def test_text_longer_than_a_batch_is_computed_alone(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    result = batcher.add(texts(50, 3))
    device.free.set()
    assert result.result(30) == [0, 1]
    assert device.batches[1:] == [[0], [1]]


def test_error_fails_only_the_requests_of_its_batch(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    device.errors = {3}
    failing, other = batcher.add(texts(8, 8, first=3)), batcher.add(texts(8, first=7))
    device.free.set()
    with pytest.raises(RuntimeError, match="the device failed"):
        failing.result(30)
    assert other.result(30) == [7]
    assert (batcher.stats.failed, batcher.stats.waiting) == (1, 0)
    assert 4 not in [number for batch in device.batches for number in batch]


def test_both_batches_of_a_request_may_fail(device: Device) -> None:
    batcher = Queue(device, batch_tokens=10, workers=2, max_wait=0)
    device.errors = {2, 3}
    failing = batcher.add(texts(10, 10, 10, first=2))
    assert device.started.acquire(timeout=30)
    assert device.started.acquire(timeout=30)
    device.free.set()
    with pytest.raises(RuntimeError, match="the device failed"):
        failing.result(30)
    device.errors = set()
    assert batcher.add(texts(4, first=7)).result(30) == [7]
    batcher.close()


def test_several_threads_keep_the_order_of_results() -> None:
    def compute(tokens: RaggedIds) -> list[int]:
        time.sleep(float(tokens.ids[0] % 3) / 100)
        return tokens.ids[np.cumsum(tokens.lengths) - tokens.lengths].tolist()

    batcher = Queue(compute, batch_tokens=10, workers=4, max_wait=0)
    futures = [batcher.add(texts(*[4] * 20, first=100 * number)) for number in range(5)]
    for number, future in enumerate(futures):
        assert future.result(30) == list(range(100 * number, 100 * number + 20))
    batcher.close()


def test_cancelled_request_leaves_the_queue(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    cancelled, other = batcher.add(texts(4, 4)), batcher.add(texts(4, first=7))
    assert cancelled.cancel()
    device.free.set()
    assert other.result(30) == [7]
    assert device.batches == [[900], [7]]
    assert (batcher.stats.cancelled, batcher.stats.waiting) == (1, 0)


def test_full_queue_refuses_requests(device: Device) -> None:
    batcher = Queue(device, batch_tokens=10, max_wait=0, max_waiting_tokens=20)
    busy(batcher, device)
    accepted = batcher.add(texts(10, 9))
    with pytest.raises(mj.OverloadedError, match=r"19 tokens are waiting; try again in 1\.0 seconds") as refused:
        batcher.add(texts(2))
    assert refused.value.retry_after > 0
    device.free.set()
    assert accepted.result(30) == [0, 1]
    assert batcher.add(texts(2)).result(30) == [0]
    batcher.close()


def test_empty_request_is_done_at_once(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    assert batcher.add(texts()).result(0) == []


def test_close_finishes_the_queue_and_refuses_further_requests(batcher: Queue, device: Device) -> None:
    busy(batcher, device)
    waiting = batcher.add(texts(5, 5, 5))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    device.free.set()
    closing.join(30)
    assert waiting.result(0) == [0, 1, 2]
    with pytest.raises(mj.InputError, match="the batcher is closed"):
        batcher.add(texts(1))


def test_request_waits_for_others_but_not_longer_than_allowed() -> None:
    batches: list[int] = []

    def compute(tokens: RaggedIds) -> list[int]:
        batches.append(len(tokens.lengths))
        return tokens.lengths.tolist()

    batcher = Queue(compute, batch_tokens=10, max_wait=0.5)
    start = time.monotonic()
    assert batcher.add(texts(5)).result(30) == [5]
    assert time.monotonic() - start < 0.5, "a request that is alone does not wait"
    batcher._alone = False
    futures = [batcher.add(texts(5)), batcher.add(texts(5))]
    assert [future.result(30) for future in futures] == [[5], [5]]
    assert batches == [1, 2]
    batcher.add(texts(1)).result(30)
    assert time.monotonic() - start >= 0.5
    batcher.close()


def test_pairs_and_texts_may_share_a_batch() -> None:
    seen: list[Any] = []

    def compute(tokens: RaggedIds) -> list[int]:
        seen.append(tokens.first_lengths)
        return tokens.lengths.tolist()

    batcher = Queue(compute, batch_tokens=100, max_wait=0.2)
    batcher._alone = False
    pair = RaggedIds(np.arange(6, dtype=np.int32), np.array([6], np.int32), np.array([2], np.int32))
    futures = [batcher.add(pair), batcher.add(texts(3))]
    assert [future.result(30) for future in futures] == [[6], [3]]
    assert [each.tolist() for each in seen] == [[2, 3]]
    batcher.close()
