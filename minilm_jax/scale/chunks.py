"""Between reading and embedding: rows regrouped into chunks that fit in memory, and prepared on a thread ahead."""

import collections
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import pyarrow as pa

from minilm_jax.scale.readers import Rows

_Item = TypeVar("_Item")

# Rows and bytes that are embedded together, and become a row group. More texts sort into fuller batches.
_ROWS = 16_384
_BYTES = 64 << 20
_AHEAD = 2


class Chunk(NamedTuple):
    """Rows that are embedded together.

    Attributes:
        shard: Number of the shard that they belong to.
        first_row: Place of the first of them in the part.
        kept: The columns that are kept.
        texts: A text a row, or None where there is none to embed.
        problems: Places in the part, with the reason why a value of the row became null.
    """

    shard: int
    first_row: int
    kept: pa.Table
    texts: list[str | None]
    problems: list[tuple[int, str]]


def chunks(source: Iterable[Rows], shard_rows: int) -> Iterator[Chunk]:
    """Regroups rows.

    Args:
        source: The rows of a part, in batches of any size.
        shard_rows: Rows of a shard; no chunk goes over the end of one.

    Yields:
        The same rows, in the same order.
    """
    done, held = 0, _Held()
    for rows in source:
        start = 0
        while start < len(rows.texts):
            room = min(_ROWS, shard_rows - done % shard_rows) - held.rows
            held.add(rows, start, room)
            start += room
            if held.rows == min(_ROWS, shard_rows - done % shard_rows) or held.bytes > _BYTES:
                yield held.chunk(done, shard_rows)
                done, held = done + held.rows, _Held()
    if held.rows:
        yield held.chunk(done, shard_rows)


class _Held:
    """Rows that wait for more of their chunk."""

    def __init__(self) -> None:
        self.rows, self.bytes = 0, 0
        self._kept: list[pa.RecordBatch] = []
        self._texts: list[str | None] = []
        self._problems: list[str | None] = []

    def add(self, rows: Rows, start: int, count: int) -> None:
        kept, texts = rows.kept.slice(start, count), rows.texts.slice(start, count)
        self.rows, self.bytes = self.rows + len(texts), self.bytes + kept.nbytes + texts.nbytes
        self._kept.append(kept)
        self._texts += texts.to_pylist()
        self._problems += rows.problems.slice(start, count).to_pylist()

    def chunk(self, first_row: int, shard_rows: int) -> Chunk:
        texts = [text if text and not text.isspace() else None for text in self._texts]
        problems = [(first_row + i, problem) for i, problem in enumerate(self._problems) if problem]
        return Chunk(first_row // shard_rows, first_row, pa.Table.from_batches(self._kept), texts, problems)


def ahead(items: Iterable[_Item]) -> Generator[_Item, None, None]:
    """Takes items on a thread of its own, two before they are asked for."""
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-read")
    try:
        pending = collections.deque(pool.submit(next, iterator, end) for _ in range(_AHEAD))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, iterator, end))
            yield item  # pyright: ignore[reportReturnType]
    finally:
        pool.shutdown(cancel_futures=True)
