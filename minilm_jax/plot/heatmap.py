"""How alike texts are, as a heat map."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_jax.errors import InputError
from minilm_jax.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In characters; those of the columns stand on end.
_LONGEST_ROW, _LONGEST_COLUMN = 48, 36
# With more rows or columns there is no room for numbers in the cells, or for a text beside each.
_MOST_NUMBERS, _MOST_LABELS = 15, 60


def similarity_heatmap(
    matrix: Any,
    texts: Sequence[str],
    column_texts: Sequence[str] | None = None,
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a matrix of similarities with its texts along the sides.

    Args:
        matrix: float[n, m], cosines for example.
        texts: The n texts of the rows; long ones are shortened, and more than 60 are numbered instead.
        column_texts: The m texts of the columns, by default those of the rows.
        ax: Where to draw; by default in a new figure.

    Returns:
        The axes.

    Raises:
        InputError: The matrix does not fit the texts, or matplotlib is not installed.
    """
    matrix = np.asarray(matrix, np.float32)
    columns = texts if column_texts is None else column_texts
    if matrix.shape != (len(texts), len(columns)) or not matrix.size:
        raise InputError(
            f"the matrix has shape {matrix.shape}; {len(texts)} rows and {len(columns)} columns have texts."
        )
    ax = style.axes(ax, 4 + _inches(len(columns)), 2.4 + _inches(len(texts)))
    image = style.matrix(ax, matrix, "similarity", vmin=min(0.0, matrix.min()), vmax=max(1.0, matrix.max()))
    _label(ax, texts, columns)
    if max(matrix.shape) <= _MOST_NUMBERS:
        _write_numbers(ax, matrix, image)
    return ax


def _inches(count: int) -> float:
    return min(0.5 * count, 11)


def _label(ax: "Axes", rows: Sequence[str], columns: Sequence[str]) -> None:
    font = style.letters(9 if max(len(rows), len(columns)) <= 25 else 7)
    if len(columns) <= _MOST_LABELS:
        labels = [style.shortened(text, _LONGEST_COLUMN) for text in columns]
        ax.set_xticks(range(len(columns)), labels, rotation=45, ha="right", rotation_mode="anchor", **font)
    if len(rows) <= _MOST_LABELS:
        ax.set_yticks(range(len(rows)), [style.shortened(text, _LONGEST_ROW) for text in rows], **font)


def _write_numbers(ax: "Axes", matrix: Any, image: Any) -> None:
    for (row, column), value in np.ndenumerate(matrix.round(2) + 0.0):  # Which turns -0.0 into 0.0.
        colour = "white" if image.norm(value) > 0.6 else "0.2"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
