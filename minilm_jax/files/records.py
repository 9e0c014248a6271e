"""Rows with several columns from JSON lines, CSV or Parquet; every error names its row."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.files.columns import column_problem
from minilm_jax.files.parquet import read_rows
from minilm_jax.files.rows import csv_rows, json_rows
from minilm_jax.files.texts import FORMATS, valid_lines, without_problems


class Record(NamedTuple):
    """One row of a file.

    Attributes:
        place: Where it is, such as "pairs.csv, line 3", for messages.
        values: Its values by column; those of CSV are strings.
    """

    place: str
    values: Mapping[str, Any]


def read_records(path: str | Path) -> Iterator[Record]:
    """Read the rows of a .jsonl, .csv, .tsv or .parquet file lazily.

    Args:
        path: The file.

    Yields:
        The rows, in order.

    Raises:
        InputError: The file is missing, its suffix is unknown, or a row cannot be parsed.
    """
    format = FORMATS.get(Path(path).suffix.lower(), "txt")
    if format == "txt":
        known = ", ".join(suffix for suffix, other in FORMATS.items() if other != "txt")
        raise InputError(f"{path}: the suffix is not one of {known}.{did_you_mean(Path(path).suffix, FORMATS)}")
    try:
        with Path(path).open("rb") as file:
            for place, values in _records(file, format):
                yield Record(f"{path}, {place}", values)
    except InputError as error:
        raise InputError(f"{path}, {error}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}.") from None


def _records(file: BinaryIO, format: str) -> Iterator[Record]:
    if format == "parquet":
        return (Record(f"row {number}", values) for number, values in enumerate(read_rows(file), 1))
    return _jsonl(file) if format == "jsonl" else _csv(file, format)


def _jsonl(file: BinaryIO) -> Iterator[Record]:
    for row in without_problems(json_rows(valid_lines(file))):
        yield Record(f"line {row.line}", row.values)


def _csv(file: BinaryIO, format: str) -> Iterator[Record]:
    lines = valid_lines(file, universal_newlines=False)
    rows = without_problems(csv_rows(lines, delimiter="\t" if format == "tsv" else ","))
    header = next(rows, None)
    names = [] if header is None else header.values
    if problem := next(filter(None, (column_problem(name, names) for name in names)), None):
        raise InputError(f"line 1: {problem}")
    for row in rows:
        yield Record(f"line {row.line}", dict(zip(names, row.values, strict=True)))
