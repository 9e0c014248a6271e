"""Output for people to read: similarity matrices, tables of texts, and file sizes."""

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CELL_WIDTH = 7
_MIN_LABEL_WIDTH = 12


def render_matrix(texts: Sequence[str], matrix: "NDArray[np.floating]", width: int = 80) -> str:
    """Format a similarity matrix; rows are labeled by number and text, columns by number.

    Args:
        texts: The n texts; they are shortened to fit.
        matrix: float[n, n].
        width: Maximum line width in terminal columns; a wider matrix is split into blocks, one below the other.

    Returns:
        The lines, joined by newlines.
    """
    number_width = len(str(len(texts)))
    columns = min(len(texts), max(1, (width - number_width - 2 - _MIN_LABEL_WIDTH) // _CELL_WIDTH))
    labels = [_printable(text) for text in texts]
    label_width = min(max(map(_width, labels), default=0), width - number_width - 2 - columns * _CELL_WIDTH)
    row_heads = [f"{i:>{number_width}}  {_fit(text, label_width)}" for i, text in enumerate(labels, 1)]
    margin = " " * (number_width + 2 + label_width)

    def block(start: int) -> list[str]:
        stop = min(start + columns, len(texts))
        header = margin + "".join(f"{i + 1:>{_CELL_WIDTH}}" for i in range(start, stop))
        rows = zip(row_heads, matrix[:, start:stop], strict=True)
        return [header, *(head + "".join(f"{value:>{_CELL_WIDTH}.3f}" for value in row) for head, row in rows)]

    return "\n\n".join("\n".join(block(start)) for start in range(0, len(texts), columns))


def render_texts(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Format a table whose last columns are a row number and a text.

    In a terminal, texts are shortened to its width. In a pipe or file, they are complete, one per line.

    Args:
        titles: Titles of the columns before the row number.
        lines: Values of these columns, row number, and text of each line.

    Returns:
        The header and the lines, joined by newlines.
    """
    table = [(*titles, "row", "text"), *lines]
    widths = [max(map(len, column)) for column in list(zip(*table, strict=True))[:-1]]
    text_width = shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths) if sys.stdout.isatty() else None
    return "\n".join(_table_line(line, widths, text_width) for line in table)


def _table_line(line: Sequence[str], widths: Sequence[int], text_width: int | None) -> str:
    *values, text = line
    cells = [f"{value:>{width}}" for value, width in zip(values, widths, strict=True)]
    return "  ".join([*cells, _shortened(text, text_width)]).rstrip()


def render_size(size: int) -> str:
    """Return a number of bytes with a decimal unit, such as "90.9 MB"."""
    power = min(len(str(size)) - 1, 9) // 3
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def _printable(text: str) -> str:
    # Texts may contain line ends, which break the table, and escape sequences, which control the terminal.
    return "".join(filter(str.isprintable, " ".join(text.split())))


def _width(text: str) -> int:
    """Return the number of terminal columns that a text takes."""
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _shortened(text: str, width: int | None) -> str:
    if width is None:
        return _printable(text)
    width = max(width, _MIN_LABEL_WIDTH)
    return _fit(_printable(text[: 8 * width]), width)  # Measuring all of a very long text would be slow.


def _fit(text: str, width: int) -> str:
    """Return the text in exactly `width` terminal columns: padded with spaces, or shortened with an ellipsis."""
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))
