"""What a person reads in a terminal: a similarity matrix, tables of texts, sizes of files."""

import shutil
import sys
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CELL = 7
_SHORTEST_LABEL = 12


def render_matrix(texts: Sequence[str], matrix: NDArray[np.floating], width: int = 80) -> str:
    """Lays out a similarity matrix, with its rows labelled by the texts and its columns by their numbers.

    Args:
        texts: n of them; shortened as far as needed.
        matrix: float[n, n].
        width: Columns of the terminal; a matrix too wide for them goes on below.

    Returns:
        Lines of at most this width.
    """
    number = len(str(len(texts)))
    columns = min(len(texts), max(1, (width - number - 2 - _SHORTEST_LABEL) // _CELL))
    labels = [_printable(text) for text in texts]
    label = min(max(map(_columns, labels), default=0), width - number - 2 - columns * _CELL)
    heads = [f"{i:>{number}}  {_fit(text, label)}" for i, text in enumerate(labels, 1)]
    margin = " " * (number + 2 + label)

    def block(start: int) -> list[str]:
        stop = min(start + columns, len(texts))
        title = margin + "".join(f"{i + 1:>{_CELL}}" for i in range(start, stop))
        rows = zip(heads, matrix[:, start:stop], strict=True)
        return [title, *(head + "".join(f"{value:>{_CELL}.3f}" for value in row) for head, row in rows)]

    return "\n\n".join("\n".join(block(start)) for start in range(0, len(texts), columns))


def render_texts(title: str, lines: Sequence[tuple[str, str, str]]) -> str:
    """Lays out a table of texts, shortened to the width of the terminal; elsewhere they are whole, on a line each.

    Args:
        title: Of the first column.
        lines: What is in the first column, the number of a row, and its text.

    Returns:
        The lines under a head.
    """
    first = max(len(title), *(len(line[0]) for line in lines), 0)
    second = max(len("row"), *(len(line[1]) for line in lines), 0)
    room = shutil.get_terminal_size().columns - first - second - 4 if sys.stdout.isatty() else None
    return "\n".join(
        f"{left:>{first}}  {row:>{second}}  {_shortened(text, room)}".rstrip()
        for left, row, text in [(title, "row", "text"), *lines]
    )


def render_size(size: int) -> str:
    """Returns a number of bytes as people write it, such as 90.9 MB."""
    power = min(len(str(size)) - 1, 9) // 3
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def _printable(text: str) -> str:
    # A text may hold line ends, and sequences that a terminal would obey.
    return "".join(filter(str.isprintable, " ".join(text.split())))


def _columns(text: str) -> int:
    return sum(map(_character_columns, text))


def _character_columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _shortened(text: str, room: int | None) -> str:
    if room is None:
        return _printable(text)
    room = max(room, _SHORTEST_LABEL)
    return _fit(_printable(text[: 8 * room]), room)  # A long text is not measured to its end.


def _fit(text: str, width: int) -> str:
    if _columns(text) > width:
        while _columns(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _columns(text))
