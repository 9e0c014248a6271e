"""`Batcher`: computes the requests of many clients in shared batches, on the only threads that use the device."""

import collections
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError, OverloadedError
from minilm_jax.tokens.batching import RaggedIds


class Computation(NamedTuple):
    """A computation of a model; only requests with the same one share batches.

    Attributes:
        compute: Returns one result per text.
        batch_tokens: Tokens of a full batch; a longer text is computed alone.
    """

    compute: Callable[[RaggedIds], Sequence[Any] | NDArray[Any]]
    batch_tokens: int


@dataclasses.dataclass(eq=False)
class Request:
    """Texts of one client that are computed, waiting or done.

    Attributes:
        computation: The computation to run.
        tokens: The token ids of its texts.
        arrived: When it arrived, in seconds of `time.monotonic`.
        started: When its first batch was started.
        next: The index of the first text that still waits.
        results: The results by the index of their text.
        future: Gets all results, in the order of the texts.
    """

    computation: Computation
    tokens: RaggedIds
    arrived: float
    started: float = 0.0
    next: int = 0
    results: dict[int, Any] = dataclasses.field(default_factory=dict)
    future: "Future[list[Any]]" = dataclasses.field(default_factory=Future)

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the texts that wait."""
        return int(self.tokens.lengths[self.next :].sum())

    @property
    def is_waiting(self) -> bool:
        """Whether some texts wait."""
        return self.next < len(self.tokens.lengths)


@dataclasses.dataclass
class BatcherStats:
    """Counts of a batcher's work.

    Attributes:
        batches: Batches computed.
        texts: Texts in them.
        tokens: Tokens in them.
        failed: Batches whose computation failed.
        cancelled: Requests that were cancelled before they were finished.
        waiting: Tokens that wait now.
        last_texts: Texts in the last batch.
        last_tokens: Tokens in the last batch.
    """

    batches: int = 0
    texts: int = 0
    tokens: int = 0
    failed: int = 0
    cancelled: int = 0
    waiting: int = 0
    last_texts: int = 0
    last_tokens: int = 0


class Batcher:
    """A queue of requests, and the threads that compute them.

    A batch takes one text of each waiting request in turn until it is full, so a single query does not wait for all
    texts of another client. It is computed when it is full, or when its oldest request has waited for `max_wait`; while
    the device is busy, requests collect. A request that is probably the only one does not wait: nothing is computed,
    and the last batch had only one request.

    Attributes:
        stats: Counts of the work so far.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        max_wait: float = 0.002,
        max_waiting_tokens: int = 1 << 20,
    ) -> None:
        """Start the threads.

        Args:
            workers: Number of threads, which compute one batch each.
            max_wait: Seconds that a request waits for others.
            max_waiting_tokens: Tokens that may wait; further requests are refused.
        """
        self._max_wait, self._max_waiting = max_wait, max_waiting_tokens
        self._requests = collections.deque[Request]()
        self._changed, self._closed, self._rate = threading.Condition(), False, 0.0
        self._running, self._alone = 0, True
        self.stats = BatcherStats()
        self._threads = [
            threading.Thread(target=self._run, name="minilm-jax-batcher", daemon=True) for _ in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, tokens: RaggedIds, computation: Computation) -> Request:
        """Add a request to the queue; it leaves the queue if its future is cancelled.

        Args:
            tokens: The token ids of its texts.
            computation: The computation to run.

        Returns:
            The request; its future gets the results.

        Raises:
            InputError: The batcher is closed.
            OverloadedError: Too many tokens are waiting.
        """
        request = Request(computation, tokens, time.monotonic())
        count = request.waiting_tokens
        with self._changed:
            if self._closed:
                raise InputError("the batcher is closed; it takes no more requests.")
            if self.stats.waiting and self.stats.waiting + count > self._max_waiting:
                raise OverloadedError(self.stats.waiting, self.stats.waiting / self._rate if self._rate else 1.0)
            if not request.is_waiting:
                request.future.set_result([])
                return request
            self._requests.append(request)
            self.stats.waiting += count
            self._changed.notify()
        return request

    def close(self) -> None:
        """Refuse further requests, and wait until those in the queue are finished."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._finish(batch)

    def _next_batch(self) -> list[tuple[Request, int]] | None:
        """Wait for a batch: requests with the index of a text each; or None if the batcher is closed and empty."""
        with self._changed:
            while not self._requests:
                if self._closed:
                    return None
                self._changed.wait()
            while self._requests and not self._closed and not (self._alone and not self._running):
                remaining = self._requests[0].arrived + self._max_wait - time.monotonic()
                is_full = self.stats.waiting >= self._requests[0].computation.batch_tokens
                if is_full or remaining <= 0 or not self._changed.wait(remaining):
                    break
            self._drop_cancelled()
            batch = self._take()
            self._running += bool(batch)
            self._alone = len({id(request) for request, _ in batch}) < 2
            if self._requests:
                self._changed.notify()  # Another thread may be free.
            return batch

    def _drop_cancelled(self) -> None:
        for request in [request for request in self._requests if request.future.cancelled()]:
            self._requests.remove(request)
            self.stats.waiting -= request.waiting_tokens
            self.stats.cancelled += 1

    def _take(self) -> list[tuple[Request, int]]:
        if not self._requests:
            return []
        batch, now = [], time.monotonic()
        size = room = self._requests[0].computation.batch_tokens
        for request, text, length in self._in_turns(self._requests[0].computation):
            if batch and length > room:
                break
            batch.append((request, text))
            room -= length
        for request, _ in batch:
            request.started = request.started or now
            request.next += 1
        # Requests with waiting texts go behind the others, so that each is the first one in turn.
        first = batch[0][0]
        self._requests = collections.deque(each for each in self._requests if each.is_waiting)
        if self._requests and self._requests[0] is first:
            self._requests.rotate(-1)
        self.stats.waiting -= size - room
        return batch

    def _in_turns(self, computation: Computation) -> Iterator[tuple[Request, int, int]]:
        """Yield waiting texts of a computation: the first of each request, then the second of each, and so on."""
        requests = [request for request in self._requests if request.computation is computation]
        for texts in itertools.zip_longest(*map(_waiting_texts, requests)):
            yield from (text for text in texts if text is not None)

    def _finish(self, batch: list[tuple[Request, int]]) -> None:
        start, tokens = time.monotonic(), _concatenated(batch)
        try:
            results = batch[0][0].computation.compute(tokens)
        except Exception as error:  # Any error of the device fails only the requests of this batch.
            self._fail({id(request): request for request, _ in batch}, error)
            return
        with self._changed:
            self._rate = len(self._threads) * len(tokens.ids) / max(time.monotonic() - start, 1e-6)
            self._running -= 1
            self.stats.batches, self.stats.texts = self.stats.batches + 1, self.stats.texts + len(batch)
            self.stats.tokens += len(tokens.ids)
            self.stats.last_texts, self.stats.last_tokens = len(batch), len(tokens.ids)
            for (request, text), result in zip(batch, results, strict=True):
                request.results[text] = result
            requests = {id(request): request for request, _ in batch}.values()
            done = [each for each in requests if len(each.results) == len(each.tokens.lengths)]
        for request in done:
            if request.future.set_running_or_notify_cancel():
                request.future.set_result([request.results[text] for text in range(len(request.results))])

    def _fail(self, requests: dict[int, Request], error: Exception) -> None:
        with self._changed:
            self._running -= 1
            self.stats.failed += 1
            for request in requests.values():
                if request in self._requests:
                    self._requests.remove(request)
                    self.stats.waiting -= request.waiting_tokens
                # Another batch with texts of the request may have failed too.
                if not request.future.done() and request.future.set_running_or_notify_cancel():
                    request.future.set_exception(error)


def _waiting_texts(request: Request) -> Iterator[tuple[Request, int, int]]:
    for text in range(request.next, len(request.tokens.lengths)):
        yield request, text, int(request.tokens.lengths[text])


def _concatenated(batch: list[tuple[Request, int]]) -> RaggedIds:
    parts = [request.tokens.of(np.array([text])) for request, text in batch]
    lengths = np.array([len(part) for part in parts], np.int32)
    if all(request.tokens.first_lengths is None for request, _ in batch):
        return RaggedIds(np.concatenate(parts), lengths)
    first = [_first_length(request.tokens, text) for request, text in batch]
    return RaggedIds(np.concatenate(parts), lengths, np.array(first, np.int32))


def _first_length(tokens: RaggedIds, text: int) -> NDArray[np.int32]:
    return (tokens.lengths if tokens.first_lengths is None else tokens.first_lengths)[text]
