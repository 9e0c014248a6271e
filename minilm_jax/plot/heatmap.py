"""Heat map of the similarity of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_jax.errors import InputError
from minilm_jax.plot import style
from minilm_jax.tokens.texts import as_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Labels have at most this many characters; column labels are rotated and have less room.
_MAX_ROW_LABEL, _MAX_COLUMN_LABEL = 48, 36
# With more rows or columns, the values in the cells or the texts at the rows would overlap.
_MAX_ROWS_WITH_VALUES, _MAX_ROWS_WITH_TEXTS = 15, 60


def similarity_heatmap(
    matrix: Any,
    texts: Sequence[str],
    column_texts: Sequence[str] | None = None,
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a similarity matrix with its texts as labels.

    Args:
        matrix: float[n, m], such as cosine similarities.
        texts: The n texts of the rows; long texts are shortened, and more than 60 are replaced by numbers.
        column_texts: The m texts of the columns; by default those of the rows.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: The shape of the matrix does not match the texts, or matplotlib is not installed.
    """
    matrix = np.asarray(matrix, np.float32)
    texts = as_texts(texts)
    columns = texts if column_texts is None else as_texts(column_texts, "column_texts")
    if matrix.shape != (len(texts), len(columns)) or not matrix.size:
        raise InputError(
            f"the matrix has shape {matrix.shape}, but there are {len(texts)} texts for rows and {len(columns)} for"
            " columns; pass one text per row and column."
        )
    ax = style.axes(ax, 4 + _inches(len(columns)), 2.4 + _inches(len(texts)))
    image = style.matrix(ax, matrix, "similarity", vmin=min(0.0, matrix.min()), vmax=max(1.0, matrix.max()))
    _label(ax, texts, columns)
    if max(matrix.shape) <= _MAX_ROWS_WITH_VALUES:
        _write_values(ax, matrix, image)
    return ax


def _inches(count: int) -> float:
    return min(0.5 * count, 11)


def _label(ax: "Axes", rows: Sequence[str], columns: Sequence[str]) -> None:
    font = style.font(9 if max(len(rows), len(columns)) <= 25 else 7)
    if len(columns) <= _MAX_ROWS_WITH_TEXTS:
        labels = [style.shorten(text, _MAX_COLUMN_LABEL) for text in columns]
        ax.set_xticks(range(len(columns)), labels, rotation=45, ha="right", rotation_mode="anchor", **font)
    if len(rows) <= _MAX_ROWS_WITH_TEXTS:
        ax.set_yticks(range(len(rows)), [style.shorten(text, _MAX_ROW_LABEL) for text in rows], **font)


def _write_values(ax: "Axes", matrix: Any, image: Any) -> None:
    for (row, column), value in np.ndenumerate(matrix.round(2) + 0.0):  # Adding 0.0 turns -0.0 into 0.0.
        color = "white" if image.norm(value) > 0.6 else "0.2"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color)
