"""Worker threads that process several items at a time, or prepare the next items in advance."""

import collections
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def parallel_map(compute: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    """Map items to results on several threads, in the order of the items; a single item needs no thread.

    Args:
        compute: The function to call, from several threads.
        items: The items. They are consumed as needed, at most two per worker ahead of the results.
        workers: Number of threads.

    Yields:
        The results.
    """
    iterator = iter(items)
    first = list(itertools.islice(iterator, 2))
    if len(first) < 2 or workers == 1:
        yield from map(compute, itertools.chain(first, iterator))
        return
    pending: collections.deque[Future[_Result]] = collections.deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="minilm-jax")
    try:
        for item in itertools.chain(first, iterator):
            pending.append(pool.submit(compute, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(items: Iterable[_Item], count: int = 1) -> Generator[_Item, None, None]:
    """Yield items that a separate thread consumes in advance.

    Args:
        items: The items; producing them overlaps with the work of the consumer.
        count: Number of items to hold ready.

    Yields:
        The items, in order.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-prefetch")
    try:
        pending = collections.deque(pool.submit(next, iterator, end) for _ in range(count))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, iterator, end))
            yield item  # pyright: ignore[reportReturnType]
    finally:
        pool.shutdown(cancel_futures=True)
