"""Which batches a job is computed in: packed rows of few shapes, because every shape is a program to compile."""

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minilm_jax.tokens.batch_shapes import MOST_PROGRAMS, ShapeRules
from minilm_jax.tokens.batching import Shape
from minilm_jax.tokens.packed_rows import NO_TEXT
from minilm_jax.tokens.row_filling import Lengths, Rows

# The index of the text in each place of each row, int[B, S], and the number of tokens per row.
_Batch: TypeAlias = tuple[NDArray[np.intp], int]

# A job needs at most four of a process's programs: for three row lengths, and for fewer rows at its end.
_MOST_ROW_LENGTHS = 3

# A row of T tokens has places for T / 4 texts, so that rows of single words are almost full.
_TOKENS_PER_PLACE = 4

# A new program must save its compilation in this job and in future ones. For programs that every process is likely to
# need, half of it is enough, because other processes load them, or the first fraction of the job. Others must save at
# least the second fraction, or the third if the job is an example of all future work.
_EXPECTED, _UNEXPECTED, _EXAMPLE = 0.12, 0.02, 0.15

# Other programs are considered once the work so far, or the padding of a job, costs this many times a program.
_SEARCH_FROM = 2

# The shapes for queries are considered for jobs that need at most this many batches of them, and for batch sizes of at
# most this many texts per row.
_FEW = 8

# The shape for single long texts is considered for jobs that fit in about this many of its rows.
_FEW_SINGLE = 2


class Part(NamedTuple):
    """The rows of one length in a job.

    Attributes:
        length: Tokens per row.
        rows: The texts in the rows.
        calls: For each call, the number of rows with texts, and the rows of the batch.
    """

    length: int
    rows: list[Rows]
    calls: list[tuple[int, int]]


class Arrangement(NamedTuple):
    """One way to compute a job.

    Attributes:
        shapes: The shapes for all but the last batch of a length, the longest rows first.
        parts: The rows and calls.
        cost: Cost of all calls and of new programs.
    """

    shapes: tuple[Shape, ...]
    parts: list[Part]
    cost: float

    @property
    def tokens(self) -> int:
        """Computed tokens."""
        return sum(rows * part.length for part in self.parts for _, rows in part.calls)

    @property
    def used(self) -> set[Shape]:
        """The shapes of all batches."""
        return {(rows, part.length) for part in self.parts for _, rows in part.calls}


class BatchPlanner:
    """Chooses the batches of each job, with at most `MOST_PROGRAMS` shapes in all; for use from several threads.

    The shapes that are expected anyway are enough for every job. Others can be added if they suit some texts better:
    one must save more, in this job and in future work, than its compilation costs. The best guess of the future work is
    the work so far. As the search takes time, there is one whenever the work has doubled.

    Attributes:
        shapes: The shapes of all batches so far.
        warming: Whether the jobs are examples of all future work, so that compilation costs nothing now.
        closed: Whether no shape may be added, except for longer texts.
    """

    def __init__(self, rules: ShapeRules) -> None:
        """Create a planner that has not planned anything.

        Args:
            rules: The shapes that batches may have.
        """
        self.shapes: frozenset[Shape] = frozenset()
        self.warming = self.closed = False
        self._rules, self._lock = rules, threading.Lock()
        self._computed, self._next_search = 0, _SEARCH_FROM * rules.compile_cost

    def plan(self, lengths: NDArray[np.int32], longest: int, batch_size: int | None = None) -> Iterator[_Batch]:
        """Choose the batches of a job: first one of each shape, so that programs are compiled side by side.

        Args:
            lengths: int32[n], tokens of each text, at least one.
            longest: Tokens of the longest text of any job.
            batch_size: Maximum texts per batch, or None.

        Yields:
            For each batch, int[B, S], the index of the text in each place of each row, or NO_TEXT; and the number of
            tokens per row, T.
        """
        if not len(lengths):
            return
        before, chosen = self.shapes, self._choose(lengths, longest, batch_size)
        with self._lock:
            if self.shapes is not before:  # Another thread added a shape in the meantime.
                chosen = self._choose(lengths, longest, batch_size)
            if not chosen.used <= self.shapes:
                self.shapes |= chosen.used
            self._computed += chosen.tokens
        yield from _one_of_each_shape_first([*_batches(chosen.parts, lengths)])

    def _choose(self, lengths: NDArray[np.int32], longest: int, batch_size: int | None) -> Arrangement:
        if len(lengths) == 1 and (row := self._row_of_one(int(lengths[0]))) is not None:
            return row
        job = _Job(self._rules, lengths, batch_size)
        return self._choose_for(job, max(longest, job.lengths.longest))

    def _row_of_one(self, length: int) -> Arrangement | None:
        """Return the cheapest row for a query, without the time to compare arrangements, or None if it is too long."""
        shapes = self.shapes if self.closed else self._rules.query_shapes
        fitting = [shape for shape in shapes if shape[1] >= length]
        if not fitting:
            return None
        rows, row_length = shape = min(fitting, key=self._rules.cost)
        return Arrangement((shape,), [Part(row_length, [Rows(1, {length: 1})], [(1, rows)])], self._rules.cost(shape))

    def _choose_for(self, job: "_Job", longest: int) -> Arrangement:
        if self.closed and any(length >= job.lengths.longest for _, length in self.shapes):
            return job.best(self.shapes, self.shapes, {})
        known = {*self._rules.expected_shapes(longest)} | self.shapes
        single = self._rules.single_shape(longest)
        if job.tokens <= _FEW_SINGLE * single[1] and len(known) < MOST_PROGRAMS:
            known.add(single)
        price = min(job.tokens * _EXPECTED, self._share(job.tokens) / 2)
        prices = dict.fromkeys(known - self.shapes, price)
        best = job.best(known, known, prices)
        too_early = self._computed + best.tokens - job.tokens < self._next_search and not self.warming
        if self.closed or too_early or len(known) >= MOST_PROGRAMS:
            return best
        self._next_search = 2 * (self._computed + best.tokens)  # Threads may overwrite it; it only saves time.
        price = job.tokens * _EXAMPLE if self.warming else max(job.tokens * _UNEXPECTED, self._share(job.tokens))
        others = job.useful({*self._rules.other_shapes(job.lengths.longest)} - known)
        found = [job.with_another(best, shape, known | {shape}, prices | {shape: price}) for shape in others]
        return min([best, *found], key=lambda found: found.cost)

    def _share(self, tokens: int) -> float:
        """Return this job's share of the cost of a program that this job and future ones use."""
        return self._rules.compile_cost * tokens / (tokens + self._computed)


class _Job:
    def __init__(self, rules: ShapeRules, lengths: NDArray[np.int32], batch_size: int | None) -> None:
        self.lengths, self.tokens = Lengths(lengths), int(lengths.sum())
        self._rules, self._batch_size = rules, batch_size or len(lengths)

    def useful(self, shapes: Iterable[Shape]) -> list[Shape]:
        """Return the shapes in order, without those for queries if the job would need many such batches."""
        return sorted(shape for shape in shapes if shape in self._rules.list_shapes(shape[1]) or self._is_small(shape))

    def _is_small(self, shape: Shape) -> bool:
        rows, length = shape
        return self._batch_size <= _FEW * rows or self.tokens <= _FEW * rows * length

    def best(self, shapes: Iterable[Shape], rests: Set[Shape], prices: Mapping[Shape, float]) -> Arrangement:
        """Find a cheap arrangement: the best shape for all texts, and then one shape after the other for shorter rows.

        Args:
            shapes: The shapes to choose from.
            rests: The shapes to choose from for the last rows of a length.
            prices: Costs of new programs.
        """
        useful, fitting = self.useful(shapes), [shape for shape in shapes if shape[1] >= self.lengths.longest]
        chosen = self._cheapest([(shape,) for shape in self.useful(fitting) or fitting], rests, prices)
        while len(chosen.shapes) < _MOST_ROW_LENGTHS:
            lengths = {length for _, length in chosen.shapes}
            shorter = [shape for shape in useful if shape[1] < max(lengths) and shape[1] not in lengths]
            better = self._cheapest([(*chosen.shapes, shape) for shape in shorter], rests, prices)
            if better.cost >= chosen.cost:
                break
            chosen = better
        return chosen

    def with_another(
        self, found: Arrangement, shape: Shape, rests: Set[Shape], prices: Mapping[Shape, float]
    ) -> Arrangement:
        """Find a cheap arrangement with one more shape, also in place of longer ones."""
        shorter = [other for other in found.shapes if other[1] < shape[1]]
        options = [(shape, *shorter)] if shape[1] >= self.lengths.longest else [(*found.shapes, shape)]
        return self._cheapest([each for each in options if len(each) <= _MOST_ROW_LENGTHS], rests, prices)

    def _cheapest(
        self, options: Iterable[tuple[Shape, ...]], rests: Set[Shape], prices: Mapping[Shape, float]
    ) -> Arrangement:
        found = [self._arrange(sorted(shapes, key=lambda shape: -shape[1]), rests, prices) for shapes in options]
        return min(found, key=lambda found: (found.cost, found.shapes), default=Arrangement((), [], math.inf))

    def _arrange(self, shapes: Sequence[Shape], rests: Set[Shape], prices: Mapping[Shape, float]) -> Arrangement:
        """Fill rows of these shapes, the longest texts first; shorter texts fill the last batch of longer rows."""
        left, parts = self.lengths.copy(), []
        for (most, length), shorter in zip(shapes, [*(length for _, length in shapes[1:]), 0], strict=True):
            used = min(most, self._batch_size)
            places = max(1, min(length // _TOKENS_PER_PLACE, self._batch_size // used))
            rows = left.fill_rows(length, places, longer_than=shorter)
            rows += left.fill_rows(length, places, most=-_count(rows) % used)
            parts.append(Part(length, rows, self._calls((most, length), _count(rows), rests, prices)))
        found = Arrangement(tuple(shapes), parts, 0)
        calls = sum(self._rules.cost((rows, part.length)) for part in parts for _, rows in part.calls)
        return found._replace(cost=calls + sum(prices.get(shape, 0) for shape in found.used))

    def _calls(
        self, shape: Shape, count: int, rests: Set[Shape], prices: Mapping[Shape, float]
    ) -> list[tuple[int, int]]:
        """Return the calls for rows: full ones, and then for the rest one more, or several smaller ones."""
        most, length = shape
        used = min(most, self._batch_size)
        full, rest = divmod(count, used)

        def cost(rows: int) -> float:
            # Full batches pay for the program of their shape.
            price = 0 if full and rows == most else prices.get((rows, length), 0)
            return -(-rest // rows) * self._rules.cost((rows, length)) + price

        size = min([rows for rows, other in rests if other == length and rows < used] + [most], key=cost)
        smaller = [min(size, rest - start) for start in range(0, rest, size)]
        return [(used, most)] * full + [(rows, size) for rows in smaller]


def one_text_per_row(shape: Shape) -> NDArray[np.intp]:
    """Return the texts of a batch of this shape with one text in each row, int[B, S]."""
    texts = np.full((shape[0], max(1, shape[1] // _TOKENS_PER_PLACE)), NO_TEXT)
    texts[:, 0] = np.arange(shape[0])
    return texts


def rows_of(lengths: NDArray[np.int32], row_length: int) -> NDArray[np.intp]:
    """Arrange texts in as few rows as possible.

    Args:
        lengths: int32[n], tokens of each text, at least one and at most row_length.
        row_length: Tokens per row, T.

    Returns:
        int[R, S], the index of the text in each place, or NO_TEXT after a row's last text.
    """
    places = max(1, row_length // _TOKENS_PER_PLACE)
    left = {length: np.flatnonzero(lengths == length) for length in np.unique(lengths).tolist()}
    rows = Lengths(lengths).fill_rows(row_length, places)
    return np.vstack([_take(each, left, places) for each in rows])


def _count(rows: Iterable[Rows]) -> int:
    return sum(row.count for row in rows)


def _batches(parts: Sequence[Part], lengths: NDArray[np.int32]) -> Iterator[_Batch]:
    left = {length: np.flatnonzero(lengths == length) for length in np.unique(lengths).tolist()}
    for part in parts:
        texts = np.vstack([_take(rows, left, max(1, part.length // _TOKENS_PER_PLACE)) for rows in part.rows] or [[]])
        start = 0
        for used, rows in part.calls:
            batch = texts[start : start + used]
            yield np.pad(batch, ((0, rows - used), (0, 0)), constant_values=NO_TEXT), part.length
            start += used


def _one_of_each_shape_first(batches: Sequence[_Batch]) -> Iterator[_Batch]:
    first = {(len(texts), length): index for index, (texts, length) in reversed([*enumerate(batches)])}
    yield from (batches[index] for index in first.values())
    yield from (batch for index, batch in enumerate(batches) if index not in first.values())


def _take(rows: Rows, left: dict[int, NDArray[np.intp]], places: int) -> NDArray[np.intp]:
    """Return the indices of texts of the right lengths, int[rows, places], and remove them from the others."""
    taken = {length: left[length][: rows.count * each] for length, each in rows.texts.items()}
    left |= {length: left[length][len(texts) :] for length, texts in taken.items()}
    found = np.hstack([texts.reshape(rows.count, -1) for texts in taken.values()])
    return np.pad(found, ((0, 0), (0, places - found.shape[1])), constant_values=NO_TEXT)
