"""Regrouping of rows into chunks that fit in memory, between reading and embedding."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from minilm_jax.scale.nulls import none_if_blank
from minilm_jax.scale.readers import Rows

# A chunk is limited to this many rows, and to this many bytes in the columns that are kept.
_ROWS = 65_536
_KEPT_BYTES = 64 << 20
# The size of a chunk is checked after every this many rows.
_ROWS_PER_CHECK = 128


class Chunk(NamedTuple):
    """Rows that are embedded together.

    Attributes:
        shard: Number of the shard that the rows belong to.
        first_row: Position of the first row in the part.
        kept: The columns that are kept.
        texts: One text per row, or None if the row has no text to embed.
        problems: Positions in the part, with the reason why a value of the row became null.
    """

    shard: int
    first_row: int
    kept: pa.Table
    texts: list[str | None]
    problems: list[tuple[int, str]]


def regroup(source: Iterable[Rows], shard_rows: int, text_bytes: int) -> Iterator[Chunk]:
    """Regroup rows into chunks.

    Args:
        source: The rows of a part, in batches of any size.
        shard_rows: Rows per shard; a chunk never crosses the end of a shard.
        text_bytes: Approximate maximum bytes of text per chunk.

    Yields:
        The same rows, in the same order.
    """
    done, pending = 0, _PendingRows()
    for rows in source:
        start = 0
        while start < len(rows.texts):
            max_rows = min(_ROWS, shard_rows - done % shard_rows)
            start += pending.add(rows, start, min(max_rows - pending.rows, _ROWS_PER_CHECK))
            if pending.rows == max_rows or pending.is_full(text_bytes):
                yield pending.to_chunk(done, shard_rows)
                done, pending = done + pending.rows, _PendingRows()
    if pending.rows:
        yield pending.to_chunk(done, shard_rows)


class _PendingRows:
    """Rows of a chunk that is not complete yet."""

    def __init__(self) -> None:
        self.rows = 0
        self._text_bytes, self._kept_bytes = 0, 0
        self._kept: list[pa.RecordBatch] = []
        self._texts: list[str | None] = []
        self._problems: list[str | None] = []

    def add(self, rows: Rows, start: int, count: int) -> int:
        kept, texts = rows.kept.slice(start, count), rows.texts.slice(start, count)
        self.rows += len(texts)
        self._text_bytes, self._kept_bytes = self._text_bytes + texts.nbytes, self._kept_bytes + kept.nbytes
        self._kept.append(kept)
        self._texts += texts.to_pylist()
        self._problems += rows.problems.slice(start, count).to_pylist()
        return len(texts)

    def is_full(self, text_bytes: int) -> bool:
        return self._text_bytes > text_bytes or self._kept_bytes > _KEPT_BYTES

    def to_chunk(self, first_row: int, shard_rows: int) -> Chunk:
        texts = list(map(none_if_blank, self._texts))
        problems = [(first_row + i, problem) for i, problem in enumerate(self._problems) if problem]
        return Chunk(first_row // shard_rows, first_row, pa.Table.from_batches(self._kept), texts, problems)
