"""Several batches computed side by side, each on a thread of its own."""

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import jax

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# On an accelerator: one batch is computed while the next is laid out and the one before it is copied back.
_ACCELERATOR_STREAMS = 3


def stream_count() -> int:
    """Returns how many batches keep the device busy: on CPU one a core, since one alone leaves the cores waiting."""
    if jax.default_backend() != "cpu":
        return _ACCELERATOR_STREAMS
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(compute: Callable[[_Item], _Result], items: Iterable[_Item], streams: int) -> Iterator[_Result]:
    """Maps items to results, several at a time and in their order; a single item needs no thread.

    Args:
        compute: Called from several threads.
        items: Taken as they are needed, no more than two a stream ahead.
        streams: How many are computed at once.

    Yields:
        The results.
    """
    iterator = iter(items)
    first = list(itertools.islice(iterator, 2))
    if len(first) < 2 or streams == 1:
        yield from map(compute, itertools.chain(first, iterator))
        return
    pending: collections.deque[Future[_Result]] = collections.deque()
    pool = ThreadPoolExecutor(streams, thread_name_prefix="minilm-jax")
    try:
        for item in itertools.chain(first, iterator):
            pending.append(pool.submit(compute, item))
            if len(pending) > 2 * streams:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
