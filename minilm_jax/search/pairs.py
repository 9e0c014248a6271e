"""All pairs of a corpus above a threshold, best first, in bounded memory."""

import contextlib
import heapq
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from minilm_jax.errors import InputError
from minilm_jax.progress import progress_bar
from minilm_jax.search.exact import QUERIES_PER_TILE
from minilm_jax.search.tiles import Tile, as_rows, rows_per_tile, tiles
from minilm_jax.vectors.similarity import COSINE_ROUNDING, dot_score

_PAIR = np.dtype([("distance", "<f4"), ("first", "<i4"), ("second", "<i4")])
# This many pairs are sorted in memory (12 MB); sorted runs of them are merged from a temporary file.
_PAIRS_PER_RUN = 2**20
_BYTES_IN_MEMORY = 2**25
# This many pairs of a run are read from the file at a time.
_PAIRS_PER_READ = 2**12


@contextlib.contextmanager
def sorted_pairs(
    vectors: ArrayLike, threshold: float, limit: int | None = None, show_progress_bar: bool | None = False
) -> Iterator["SortedPairs"]:
    """Find all pairs of unit vectors whose cosine reaches a threshold.

    Args:
        vectors: Unit vectors [n, D].
        threshold: Minimum cosine similarity.
        limit: Maximum number of pairs that the iteration yields, or None for all.
        show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

    Yields:
        The pairs. Millions of them are stored in a temporary file until the block ends.

    Raises:
        InputError: A vector is not finite.
        OSError: The temporary file cannot be written.
    """
    with tempfile.SpooledTemporaryFile(_BYTES_IN_MEMORY) as file:
        yield SortedPairs(_blocks(vectors, threshold, show_progress_bar), limit, file)


class SortedPairs:
    """Pairs of vectors: iteration yields (cosine, i, j) with i < j, by decreasing cosine, up to a limit.

    Attributes:
        total: Number of all pairs, including those beyond the limit.
    """

    def __init__(self, blocks: Iterable[NDArray[Any]], limit: int | None, file: IO[bytes]) -> None:
        """Sort blocks of pairs into runs, which are stored in a file."""
        self.total = 0
        self._limit, self._file = limit, file
        self._runs: list[tuple[int, int]] = []
        waiting: list[NDArray[Any]] = []
        for block in blocks:
            self.total += len(block)
            waiting.append(block)
            if sum(map(len, waiting)) >= _PAIRS_PER_RUN:
                self._write_run(waiting)
                waiting = []
        self._write_run(waiting)

    def __iter__(self) -> Iterator[tuple[float, int, int]]:
        """Yield (cosine, i, j) for each pair, up to the limit."""
        merged = heapq.merge(*(self._read_run(start, count) for start, count in self._runs))
        for distance, first, second in itertools.islice(merged, self._limit):
            yield -distance, first, second

    def _write_run(self, blocks: list[NDArray[Any]]) -> None:
        if not blocks:
            return
        pairs = np.concatenate(blocks)
        order = np.lexsort((pairs["second"], pairs["first"], pairs["distance"]))[: self._limit]
        self._runs.append((self._file.seek(0, 2), len(order)))
        self._file.write(pairs[order].tobytes())

    def _read_run(self, start: int, count: int) -> Iterator[tuple[float, int, int]]:
        for first in range(0, count, _PAIRS_PER_READ):
            size = min(_PAIRS_PER_READ, count - first)
            self._file.seek(start + first * _PAIR.itemsize)
            yield from np.frombuffer(self._file.read(size * _PAIR.itemsize), _PAIR).tolist()


def _blocks(vectors: ArrayLike, threshold: float, show_progress_bar: bool | None) -> Iterator[NDArray[Any]]:
    rows = as_rows(vectors)
    with progress_bar(len(rows), show_progress_bar) as progress:
        for queries in tiles(rows, QUERIES_PER_TILE):
            for tile in tiles(rows, rows_per_tile()):
                if tile.start + tile.valid > queries.start:  # Earlier rows were compared with these as queries.
                    yield _pairs_of(queries, tile, np.float32(threshold - COSINE_ROUNDING))
            progress.update(queries.valid)


def _pairs_of(queries: Tile, tile: Tile, threshold: np.float32) -> NDArray[Any]:
    cosines = np.asarray(_cosines(queries.rows, tile.rows))[: queries.valid, : tile.valid]
    if not np.isfinite(cosines).all():
        raise InputError("a vector has NaN or infinity.")
    first, second = np.nonzero(cosines >= threshold)
    distances = -cosines[first, second]
    first, second = first + queries.start, second + tile.start
    ordered = first < second
    pairs = np.empty(np.count_nonzero(ordered), _PAIR)
    pairs["distance"], pairs["first"], pairs["second"] = distances[ordered], first[ordered], second[ordered]
    return pairs


_cosines = jax.jit(dot_score)
