"""Between reading and embedding: rows regrouped into chunks that fit in memory."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from minilm_jax.scale.nulls import said
from minilm_jax.scale.readers import Rows

# Most rows of a chunk, and bytes of its columns that are kept; rows that are added to one at a time.
_ROWS = 65_536
_KEPT_BYTES = 64 << 20
_PIECE = 128


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


def chunks(source: Iterable[Rows], shard_rows: int, text_bytes: int) -> Iterator[Chunk]:
    """Regroups rows.

    Args:
        source: The rows of a part, in batches of any size.
        shard_rows: Rows of a shard; no chunk goes over the end of one.
        text_bytes: About how much text a chunk may have.

    Yields:
        The same rows, in the same order.
    """
    done, held = 0, _Held()
    for rows in source:
        start = 0
        while start < len(rows.texts):
            room = min(_ROWS, shard_rows - done % shard_rows) - held.rows
            start += held.add(rows, start, min(room, _PIECE))
            if held.rows == min(_ROWS, shard_rows - done % shard_rows) or held.is_full(text_bytes):
                yield held.chunk(done, shard_rows)
                done, held = done + held.rows, _Held()
    if held.rows:
        yield held.chunk(done, shard_rows)


class _Held:
    """Rows that wait for more of their chunk."""

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

    def chunk(self, first_row: int, shard_rows: int) -> Chunk:
        texts = list(map(said, self._texts))
        problems = [(first_row + i, problem) for i, problem in enumerate(self._problems) if problem]
        return Chunk(first_row // shard_rows, first_row, pa.Table.from_batches(self._kept), texts, problems)
