"""The report: a page of markdown with a table for each level and precision."""

import statistics
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.goals import own_goal, ratio_goal
from benchmarks.results import OURS, LevelResults, Report, Result

_PRECISIONS = ("float32", "bfloat16", "int8")
_COLUMNS = ("", "contender", "", "of the ceiling", "minilm-jax over it, median [min – max]", "goal")

_PAGE = """\
# Benchmarks

Written by `make bench-peers`; do not edit. On one machine, the contenders in turns, each in a process of its own, warm,
on all cores: absolute numbers change from machine to machine and with what else runs there, the ratios much less. A
ratio is minilm-jax's number over the peer's, round by round: of rates (tokens/s, texts/s) more is better, of costs (ms,
s, MB) less. The ceiling is what XLA's matrix multiplication of the layers' largest product alone reaches in that
precision, the best of all rounds, with no padding counted: the fraction of it that all of the work comes to.

{plot}{levels}
## Machine

{machine}
"""

_LEVELS = {
    "a": (
        "Kernels",
        "Batches of random token ids, texts × tokens each, none of them padding; of more than one text, independent"
        " batches, which those with streams compute side by side. 1 × 16 is one call.",
    ),
    "b": (
        "Throughput of `encode`",
        "Texts from the documentation that ships with Python: short, about 15 tokens; mixed, 5 to 256 tokens, in random"
        " order; long, about 240. Engines that take token ids only are behind a loop of batches of 32, sorted by"
        " length. Memory is the process's, after all three.",
    ),
    "c": ("One sentence, warm", "One sentence of 16 tokens a call, in a process that has done it before."),
    "d": (
        "One sentence, whole process",
        'Start, import, load, compute, end. `minilm-jax embed "…"` with an empty compilation cache (first run) and a'
        " filled one (second run); all files are in the operating system's cache.",
    ),
    "e": ("Growth", "minilm-jax alone: more and more texts of about 15 tokens in one process."),
}


def page(report: Report, plot: str = "") -> str:
    """Returns the page.

    Args:
        report: What was measured.
        plot: The name of an image beside the page, or "" for none.
    """
    return _PAGE.format(
        plot=f"![How fast minilm-jax is beside its peers]({plot})\n\n" if plot else "",
        levels="\n".join(_level(name, report.levels[name]) for name in _LEVELS if name in report.levels),
        machine=_list(report.machine),
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """Returns a markdown table, whose first row is its head, that is also aligned for a terminal."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (_line(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join([head, _line("-" * width for width in widths), *body])


def lines(level: str, results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Yields the cells of results, each beside ours of the same thing."""
    ours = {_thing(result): result for result in results if result.contender == OURS}
    for result in results:
        yield _cells(level, ours[_thing(result)], result)


def _thing(result: Result) -> tuple[str, str, str]:
    return result.what, result.precision, result.unit


def _cells(level: str, ours: Result, result: Result) -> tuple[str, ...]:
    ceiling = "" if result.ceiling is None else f"{result.ceiling:.0%}"
    start = result.what, result.contender, _number(result), ceiling
    if result is ours:
        return *start, "", own_goal(level, ours)
    ratios = ours.over(result)
    spread = f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f} – {max(ratios):.2f}]"
    return *start, spread, ratio_goal(level, ours, result)


def _number(result: Result) -> str:
    digits = 0 if result.median >= 100 else 1 if result.median >= 10 else 2
    return f"{result.median:,.{digits}f} {result.unit}"


def _level(name: str, level: LevelResults) -> str:
    title, text = _LEVELS[name]
    notes = "".join(f"- {note}\n" for note in dict.fromkeys(level.notes))
    parts = [
        f"## {title}",
        textwrap.fill(text, 120),
        *_tables(name, level.results),
        _list(level.conditions) + "\n" + notes,
    ]
    return "\n\n".join(parts)


def _tables(name: str, results: Sequence[Result]) -> Iterator[str]:
    for precision in sorted({result.precision for result in results}, key=_PRECISIONS.index):
        rows = lines(name, [result for result in results if result.precision == precision])
        yield f"### {precision}"
        yield table([_COLUMNS, *rows])


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
