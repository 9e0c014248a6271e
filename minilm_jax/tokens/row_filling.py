"""Which texts share a row. Texts of equal length are interchangeable, so rows are planned by lengths."""

import bisect
import dataclasses
import sys
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

# The last part of a row, of at most this many tokens, is filled exactly where possible. For more, it is not worth the
# time: rows are more than 99 % full already.
_EXACT = 64


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows that hold texts of the same lengths.

    Attributes:
        count: Number of rows.
        texts: Number of texts in each row, by their length.
    """

    count: int
    texts: Mapping[int, int]


class Lengths:
    """The number of texts of each length that are not in a row yet."""

    def __init__(self, lengths: NDArray[np.int32]) -> None:
        """Count texts.

        Args:
            lengths: int32[n], tokens of each text, at least one.
        """
        values, counts = np.unique(lengths, return_counts=True)
        self._values: list[int] = values.tolist()
        self._counts: list[int] = counts.tolist()

    def copy(self) -> Self:
        """Return an independent copy."""
        other = object.__new__(type(self))
        other._values, other._counts = self._values.copy(), self._counts.copy()
        return other

    @property
    def longest(self) -> int:
        """Tokens of the longest text, or 0."""
        return self._values[-1] if self._values else 0

    def fill_rows(self, room: int, places: int, *, longer_than: int = 0, most: int = sys.maxsize) -> list[Rows]:
        """Take texts into rows until none is longer than a number of tokens.

        Args:
            room: Tokens per row, at least the longest text.
            places: Maximum texts per row.
            longer_than: Texts that are not longer only fill the rows of longer ones.
            most: Maximum number of rows.

        Returns:
            The rows.
        """
        rows = []
        while most and self.longest > longer_than:
            chosen = self._choose(room, places)
            rows.append(self._take(chosen, most))
            most -= rows[-1].count
        return rows

    def _choose(self, room: int, places: int) -> dict[int, int]:
        """Choose the texts of one row, by the index of their length: the longest, and then those that fit best."""
        chosen: dict[int, int] = {}
        counts, end = self._counts.copy(), len(self._values)
        while places and (end := bisect.bisect_right(self._values, room, 0, end)):
            if chosen and room <= _EXACT:
                exact = self._choose_exactly(room, counts[:end])
                if sum(exact.values()) <= places:
                    return {index: chosen.get(index, 0) + exact.get(index, 0) for index in chosen | exact}
            length = self._values[end - 1]
            count = min(counts[end - 1], max(1, (room - _EXACT) // length), places)
            chosen[end - 1] = chosen.get(end - 1, 0) + count
            counts[end - 1] -= count
            room, places, end = room - count * length, places - count, end - (not counts[end - 1])
        return chosen

    def _choose_exactly(self, room: int, counts: list[int]) -> dict[int, int]:
        """Choose texts of the first lengths with as many tokens as possible, of these the longest."""
        sums, before = 1, []  # Bit s of `sums` is set if some texts have s tokens in all.
        for value, count in zip(self._values, counts, strict=False):
            before.append(sums)
            for _ in range(min(count, room // value)):
                sums |= sums << value
        total, chosen = (sums & ((2 << room) - 1)).bit_length() - 1, {}
        for index in reversed(range(len(counts))):
            value = self._values[index]
            most = min(counts[index], total // value)
            if count := next(n for n in range(most, -1, -1) if before[index] >> (total - n * value) & 1):
                chosen[index] = count
                total -= count * value
        return chosen

    def _take(self, chosen: Mapping[int, int], most: int) -> Rows:
        """Repeat the choice for as many rows as there are such texts."""
        times = min(most, *(self._counts[index] // count for index, count in chosen.items()))
        texts = {self._values[index]: count for index, count in chosen.items()}
        for index, count in sorted(chosen.items(), reverse=True):  # Descending, so that indices stay valid.
            self._counts[index] -= times * count
            if not self._counts[index]:
                del self._values[index], self._counts[index]
        return Rows(times, texts)
