"""The report: a markdown page, and the same table for a terminal."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.comparison import Comparison

_COLUMNS = ("what", "minilm-jax", "peer", "peer's", "ratio, median [min – max]", "goal")

_PAGE = """\
# Benchmarks

Written by `make bench`; do not edit. All of it is one run on one machine, the contenders in turns: absolute numbers
change from machine to machine and with what else runs there, the ratios (minilm-jax over the peer) much less. Of
seconds, a ratio below 1 is better; of texts a second, above 1.

{table}

- One sentence, whole process: `minilm-jax embed "…"` with an empty compilation cache (first run) and a filled one
  (second run), the model and all imported files in the operating system's cache.
- encode: float32 both, the same texts (from the documentation that ships with Python), all cores both, warm. The peer
  at its default batch size, and at the fastest of {batch_sizes}. The vectors agreed to 1e-5 before anything was timed.

{machine}
"""


def page(comparisons: Iterable[Comparison], machine: Mapping[str, str], batch_sizes: Sequence[int]) -> str:
    """Returns the markdown page."""
    return _PAGE.format(
        table=table(comparisons),
        batch_sizes=", ".join(map(str, batch_sizes)),
        machine="\n".join(f"- {name}: {value}" for name, value in machine.items()),
    )


def table(comparisons: Iterable[Comparison]) -> str:
    """Returns a markdown table that is also aligned for a terminal."""
    rows = [_COLUMNS, *(comparison.cells() for comparison in comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (_line(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join([head, _line("-" * width for width in widths), *body])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
