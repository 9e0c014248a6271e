"""Reports: a Markdown page with a table for each level and precision."""

import dataclasses
import statistics
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.harness.goals import own_goal, ratio_goal
from benchmarks.harness.results import OURS, LevelResults, Report, Result

_PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@dataclasses.dataclass(frozen=True)
class Page:
    """The fixed text of a page.

    Attributes:
        introduction: Title and first paragraph.
        ceiling: Head of the column with fractions of the ceiling.
        levels: Title and description of each level, by key, in their order on the page.
        empty: Text of a page without results.
    """

    introduction: str
    ceiling: str
    levels: Mapping[str, tuple[str, str]]
    empty: str = ""

    def render(self, report: Report, image: str = "") -> str:
        """Return the page as Markdown.

        Args:
            report: The results.
            image: Markdown of an image to show first, or "" for none.
        """
        levels = [self._level(key, report.levels[key]) for key in self.levels if key in report.levels]
        body = [image, *levels, f"## Machine\n\n{facts(report.machine)}"] if levels else [self.empty]
        return "\n\n".join(filter(None, [self.introduction, *body])) + "\n"

    def _level(self, key: str, level: LevelResults) -> str:
        title, text = self.levels[key]
        notes = "".join(f"\n- {note}" for note in dict.fromkeys(level.notes))
        tables = self._tables(key, level.results)
        return "\n\n".join([f"## {title}", textwrap.fill(text, 120), *tables, facts(level.conditions) + notes])

    def _tables(self, key: str, results: Sequence[Result]) -> Iterator[str]:
        columns = ("workload", "contender", "result", self.ceiling, "ratio, median [min – max]", "goal")
        for precision in sorted({result.precision for result in results}, key=_PRECISIONS.index):
            yield f"### {precision}"
            yield table([columns, *lines(key, [each for each in results if each.precision == precision])])


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, aligned for a terminal too; the first row is its head."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (_line(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join([head, _line("-" * width for width in widths), *body])


def facts(named: Mapping[str, object]) -> str:
    """Return a Markdown list of names and values."""
    return "\n".join(f"- {name}: {value}" for name, value in named.items())


def lines(key: str, results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each result, compared with ours on the same workload."""
    ours = {_compared(result): result for result in results if result.contender == OURS}
    for result in results:
        yield _cells(key, ours[_compared(result)], result)


def _compared(result: Result) -> tuple[str, str, str]:
    return result.workload, result.precision, result.unit


def _cells(key: str, ours: Result, result: Result) -> tuple[str, ...]:
    ceiling = "" if result.ceiling is None else f"{result.ceiling:.0%}"
    start = result.workload, result.contender, _value(result), ceiling
    if result is ours:
        return *start, "", own_goal(key, ours)
    ratios = ours.over(result)
    spread = f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f} – {max(ratios):.2f}]"
    return *start, spread, ratio_goal(key, ours, result)


def _value(result: Result) -> str:
    digits = 0 if result.median >= 100 else 1 if result.median >= 10 else 2
    return f"{result.median:,.{digits}f} {result.unit}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
