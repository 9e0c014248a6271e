"""Work on threads: several batches side by side, or one thing ahead of when it is needed."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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


def one_ahead(compute: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Maps items to results, each while the one before it is used.

    Args:
        compute: Called from one other thread.
        items: Taken one ahead.

    Yields:
        The results.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="minilm-jax") as pool:
        ahead: Future[_Result] | None = None
        for item in items:
            ready, ahead = ahead, pool.submit(compute, item)
            if ready is not None:
                yield ready.result()
        if ahead is not None:
            yield ahead.result()
