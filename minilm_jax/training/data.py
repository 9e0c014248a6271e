"""`TrainingData`: columns of texts with their labels, from Python values or from a file."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.files.lines import is_unicode
from minilm_jax.files.records import Record, read_records

# sentence-transformers treats columns with these names as the target, too.
LABEL_NAMES = ("label", "labels", "score", "scores")


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Rows of texts with their labels.

    Attributes:
        columns: The texts of each column by its name, in order, such as anchors, positives and negatives.
        labels: int32[n] if all are integers, otherwise float32[n], or float32[n, L] for lists; None without labels.
        source: Where the rows come from, for the model card.
    """

    columns: Mapping[str, Sequence[str]]
    labels: NDArray[Any] | None
    source: str

    def __len__(self) -> int:
        """Return the number of rows, n."""
        return len(next(iter(self.columns.values())))

    @classmethod
    def from_file(
        cls, path: str | Path, columns: Sequence[str] | None = None, label: str | None = None
    ) -> "TrainingData":
        """Read a .jsonl, .csv, .tsv or .parquet file.

        Args:
            path: The file.
            columns: As in `from_rows`.
            label: As in `from_rows`.

        Raises:
            InputError: The file cannot be read, or a row does not fit; the message names the row.
        """
        return _collect(read_records(path), columns, label, Path(path).name)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any] | Sequence[Any]],
        columns: Sequence[str] | None = None,
        label: str | None = None,
    ) -> "TrainingData":
        """Collect rows.

        Args:
            rows: Dicts with equal keys; or tuples of texts, of which the last value may be a number, the label. A list
                of texts, such as negatives, is one column per text.
            columns: Names of the columns of texts, in the order that the loss needs; by default all but the label.
            label: Name of the column of labels. If neither is given, a column named label, labels, score or scores;
                if only columns are given, there are no labels.

        Raises:
            InputError: There are no rows, or a row does not fit the first one; the message names the row.
        """
        records = (Record(f"row {number}", _named(number, row)) for number, row in enumerate(rows, 1))
        return _collect(records, columns, label, "Python values")


def as_data(data: Any) -> TrainingData:
    """Return a file's path, rows, or training data as training data."""
    if isinstance(data, TrainingData):
        return data
    return TrainingData.from_file(data) if isinstance(data, str | Path) else TrainingData.from_rows(data)


def _named(number: int, row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if isinstance(row, str) or not isinstance(row, Sequence):
        raise InputError(f"row {number} is {row!r:.60}; it must be a dict, or a tuple of texts.")
    has_label = len(row) > 1 and isinstance(row[-1], int | float | np.number)
    texts = row[:-1] if has_label else row
    return {f"text{index}": text for index, text in enumerate(texts, 1)} | ({"label": row[-1]} if has_label else {})


def _collect(records: Iterable[Record], columns: Sequence[str] | None, label: str | None, source: str) -> TrainingData:
    collected: list[list[str]] = []
    labels: list[Any] = []
    names: list[str] = []
    expected: list[str] = []
    for place, values in records:
        if not names:
            # Named columns may be among others, which rows need not share.
            expected = [] if columns else [*values]
            columns, label = _chosen(place, values, columns, label)
        assert columns is not None
        if expected and values.keys() != {*expected}:
            raise InputError(f"{place} has {', '.join(values)}; the first row has {', '.join(expected)}.")
        row = dict(pair for name in columns for pair in _texts(place, name, _value(place, values, name)))
        names = names or [*row]
        if [*row] != names:
            raise InputError(f"{place}: the texts are {', '.join(row)}; those of the first row are {', '.join(names)}.")
        collected.append([*row.values()])
        if label is not None:
            labels.append(_label(place, label, _value(place, values, label)))
    if not collected:
        raise InputError(f"{source} has no rows; there must be at least one.")
    texts = dict(zip(names, map(list, zip(*collected, strict=True)), strict=True))
    return TrainingData(texts, _as_array(labels) if labels else None, source)


def _chosen(
    place: str, values: Mapping[str, Any], columns: Sequence[str] | None, label: str | None
) -> tuple[Sequence[str], str | None]:
    """Return the names of the columns of texts and of the labels."""
    if label is None and columns is None:
        label = next((name for name in values if name in LABEL_NAMES), None)
    chosen = [name for name in values if name != label] if columns is None else columns
    if not chosen:
        raise InputError(f"{place} has no texts; its columns are {', '.join(values)}.")
    return chosen, label


def _value(place: str, values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise InputError(f"{place} has no {name!r}; it has {', '.join(map(repr, values))}.{did_you_mean(name, values)}")
    return values[name]


def _texts(place: str, name: str, value: Any) -> list[tuple[str, str]]:
    """Return a text, or the texts of a list, with the names of their columns."""
    if isinstance(value, list | tuple):
        return [(f"{name}_{index}", _text(place, name, text)) for index, text in enumerate(value, 1)]
    return [(name, _text(place, name, value))]


def _text(place: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place}: {name!r} is {value!r:.60}, not a text; name the columns of texts with `columns`.")
    if not value.strip() or not is_unicode(value):
        raise InputError(f"{place}: {name!r} is {value!r:.60}; it must be a text of valid Unicode that is not blank.")
    return value


def _label(place: str, name: str, value: Any) -> Any:
    values = value if isinstance(value, list | tuple) else [value]
    try:
        numbers = [each if isinstance(each, int | float) else _number(each) for each in values]
    except (TypeError, ValueError):
        numbers = [float("nan")]
    if not numbers or not np.isfinite(numbers).all():
        raise InputError(f"{place}: {name!r} is {value!r:.60}; a label must be a finite number, or a list of them.")
    return numbers if isinstance(value, list | tuple) else numbers[0]


def _number(value: Any) -> float:
    """Return the number that a value of CSV, or of NumPy, has; integers stay integers, as classes are."""
    try:
        return int(value) if isinstance(value, str | np.integer) else float(value)
    except ValueError:
        return float(value)


def _as_array(labels: list[Any]) -> NDArray[Any]:
    lengths = {len(label) if isinstance(label, list) else 0 for label in labels}
    if len(lengths) > 1:
        raise InputError("the labels have different lengths; all must be numbers, or lists of one length.")
    array = np.array(labels)
    return array.astype(np.int32 if array.dtype.kind in "iub" else np.float32)
