"""The goals of the server, which the page compares with the results."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.harness.results import OURS, Result
from benchmarks.serving.measuring import (
    HALF,
    IN_PROCESS,
    LISTS,
    MANY,
    MEDIAN,
    ONE,
    OTHERS,
    OVERLOAD,
    P99,
    READY,
    THROUGHPUT,
)
from benchmarks.serving.servers import INFINITY, SBERT_APP


class Results:
    """Results by workload, contender and precision."""

    def __init__(self, results: Sequence[Result]) -> None:
        """Index the results."""
        self._found = {(each.workload, each.contender, each.precision): each for each in results}

    def get(self, workload: str, contender: str, precision: str) -> Result | None:
        """Return a result, or None if it was not measured."""
        return self._found.get((workload, contender, precision))

    def values(self, workload: str, precision: str, contender: str = OURS) -> Sequence[float]:
        """Return the values of a result by round."""
        return self._found[workload, contender, precision].values


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound on a value that is computed for each round.

    Attributes:
        text: The value in words.
        bound: The bound.
        is_minimum: Whether the value should be at least the bound, or at most.
        values: Returns the values, given the results and a precision.
        precisions: The precisions that it applies to.
    """

    text: str
    bound: float
    is_minimum: bool
    values: Callable[[Results, str], Sequence[float]]
    precisions: tuple[str, ...] = ("float32", "int8")


def _over(workload: str, contender: str) -> Callable[[Results, str], Sequence[float]]:
    return lambda found, precision: _ratios(
        found.values(workload, precision), found.values(workload, precision, contender)
    )


def _ratios(above: Sequence[float], below: Sequence[float]) -> Sequence[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _added_milliseconds(found: Results, precision: str) -> Sequence[float]:
    workload = f"{ONE}, {MEDIAN}"
    pairs = zip(found.values(workload, precision), found.values(workload, precision, IN_PROCESS), strict=True)
    return [mine - theirs for mine, theirs in pairs]


def _tail(found: Results, precision: str) -> Sequence[float]:
    return _ratios(found.values(f"{HALF}, {P99}", precision), found.values(f"{HALF}, {MEDIAN}", precision))


def _goodput(found: Results, precision: str) -> Sequence[float]:
    saturated = found.values(f"{MANY}, {THROUGHPUT}", precision)
    return _ratios(
        found.values(f"{OVERLOAD}, {THROUGHPUT}", precision), [statistics.median(saturated)] * len(saturated)
    )


GOALS = (
    Goal(f"{LISTS}: throughput ÷ `encode` in process", 0.85, True, _over(f"{LISTS}, {THROUGHPUT}", IN_PROCESS)),
    Goal(f"{MANY}: throughput ÷ `encode` in process", 0.85, True, _over(f"{MANY}, {THROUGHPUT}", IN_PROCESS)),
    Goal(f"{MANY}: throughput ÷ {INFINITY}", 2.0, True, _over(f"{MANY}, {THROUGHPUT}", INFINITY), ("float32",)),
    Goal(f"{MANY}: throughput ÷ {SBERT_APP}", 4.0, True, _over(f"{MANY}, {THROUGHPUT}", SBERT_APP), ("float32",)),
    Goal(f"{ONE}: median − `encode` in process, ms", 1.0, False, _added_milliseconds),
    Goal(f"{HALF}: p99 ÷ median", 4.0, False, _tail),
    Goal(
        f"{OVERLOAD}: answers with other statuses than 200 and 429",
        0,
        False,
        lambda found, precision: found.values(f"{OVERLOAD}, {OTHERS}", precision),
    ),
    Goal(f"{OVERLOAD}: goodput ÷ saturated throughput", 0.9, True, _goodput),
    Goal(f"time to the first answer ÷ {INFINITY}", 0.3, False, _over(READY, INFINITY), ("float32",)),
)


def goal_lines(found: Results) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each goal: its text, the precision, the median and range of the rounds, and the bound."""
    for goal in GOALS:
        for precision in goal.precisions:
            values = goal.values(found, precision)
            median = statistics.median(values)
            reached = median >= goal.bound if goal.is_minimum else median <= goal.bound
            spread = f"**{median:.2f}** [{min(values):.2f} – {max(values):.2f}]"
            yield (
                goal.text,
                precision,
                spread,
                f"{'≥' if goal.is_minimum else '≤'} {goal.bound:g} {'✓' if reached else '✗'}",
            )
