"""Work on threads: several batches side by side, or what is needed next beside what is used."""

import collections
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def parallel_map(compute: Callable[[_Item], _Result], items: Iterable[_Item], streams: int) -> Iterator[_Result]:
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


def prefetch(items: Iterable[_Item], count: int = 1) -> Generator[_Item, None, None]:
    """Takes items on a thread of its own, so many before they are asked for.

    Args:
        items: What makes them works beside what uses them.
        count: How many more than were asked for are taken.

    Yields:
        The items, in their order.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-ahead")
    try:
        pending = collections.deque(pool.submit(next, iterator, end) for _ in range(count))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, iterator, end))
            yield item  # pyright: ignore[reportReturnType]
    finally:
        pool.shutdown(cancel_futures=True)
