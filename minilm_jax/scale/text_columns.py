"""Conversion of the rows of JSON lines and CSV files to pyarrow columns.

A row that cannot be parsed becomes a row of nulls with the reason, so that it does not affect any other row.
"""

import collections
import decimal
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from minilm_jax.errors import InputError
from minilm_jax.files.columns import header_problem
from minilm_jax.files.lines import read_lines
from minilm_jax.files.rows import Row, csv_rows, json_rows
from minilm_jax.scale.casts import CONVERSION_ERRORS, cast_exactly, is_text
from minilm_jax.scale.column_checks import check_column
from minilm_jax.scale.problems import add_problem, describe, problem_column

# This many rows are converted together.
_ROWS = 1_024
# The columns of JSON lines are inferred from this many rows at the start of a file.
_ROWS_TO_INFER_FROM = 1_024
# Without this limit, a quote that is never closed would include the rest of the file in one field.
_MAX_CSV_FIELD_CHARACTERS = 2**24
_SCALARS = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.string())


class Columns(NamedTuple):
    """Rows of a text file, converted to columns.

    Attributes:
        kept: One array per field of the schema.
        texts: large_string; null for a missing text.
        problems: string; the reason why a value of the row became null.
    """

    kept: list[pa.Array]
    texts: pa.Array
    problems: pa.Array


def read_rows(file: BinaryIO, delimiter: str | None) -> Iterator[Row[dict[str, Any]]]:
    """Read the rows of a text file with their values by column name; blank lines are skipped.

    Args:
        file: File opened for reading in binary mode; UTF-8, with or without a byte order mark.
        delimiter: Character between the fields of a CSV file, or None for JSON lines.

    Yields:
        The rows, in order.

    Raises:
        InputError: The header of a CSV file cannot be parsed.
    """
    return _named_csv_rows(_open_csv(file, delimiter)) if delimiter else json_rows(read_lines(file))


def infer_schema(file: BinaryIO, delimiter: str | None, text_column: str) -> pa.Schema:
    """Infer the columns of a text file from its first thousand rows.

    Args:
        file: As for `read_rows`.
        delimiter: As for `read_rows`.
        text_column: Name of the column that holds the texts. If the first rows do not have it, it is searched for in
            all rows, because objects may omit keys.

    Returns:
        The schema. CSV has no types, so its columns are strings. Columns of JSON lines are booleans, int64, float64 or
        strings; other and mixed values become strings of JSON.

    Raises:
        InputError: The header of a CSV file or the first thousand lines of a JSON file cannot be parsed, or no object
            has the column of texts.
    """
    if delimiter:
        names = _read_header(_open_csv(file, delimiter))
        if names and (problem := header_problem(text_column, names, delimiter)):
            raise InputError(problem)
        return pa.schema([(name, pa.string()) for name in names])
    rows = read_rows(file, delimiter)
    first_rows = list(itertools.islice(rows, _ROWS_TO_INFER_FROM))
    if first_rows and all(row.problem for row in first_rows):
        raise InputError(f"line {first_rows[0].line}: {first_rows[0].problem}.")
    values_of: dict[str, list[Any]] = {}
    for row in first_rows:
        for name, value in row.values.items():
            values_of.setdefault(name, []).append(value)
    if first_rows and text_column not in values_of:
        later = next((row.values for row in rows if text_column in row.values), {})
        for name, value in later.items():
            values_of.setdefault(name, [value])
        check_column(text_column, list(values_of))
    return pa.schema([(name, _infer_type(values)) for name, values in values_of.items()])


def infer_columns(file: BinaryIO, names: Sequence[str]) -> list[pa.Field]:
    """Infer columns of JSON lines that the first thousand rows do not have, from the first thousand values of each.

    Args:
        file: As for `read_rows`.
        names: Names of the columns.

    Returns:
        The columns that exist.
    """
    values_of: dict[str, list[Any]] = {}
    for row in read_rows(file, None):
        for name in row.values.keys() & names:
            if len(values := values_of.setdefault(name, [])) < _ROWS_TO_INFER_FROM:
                values.append(row.values[name])
    return [pa.field(name, _infer_type(values_of[name])) for name in names if name in values_of]


def read_columns(
    file: BinaryIO,
    delimiter: str | None,
    text_column: str,
    kept: pa.Schema,
    constants: Mapping[str, str | None],
    known: Set[str] | None,
) -> Iterator[Columns]:
    """Read a text file as columns, about a thousand rows at a time.

    Args:
        file: As for `read_rows`.
        delimiter: As for `read_rows`.
        text_column: Name of the column that holds the texts.
        kept: Names and types of the columns to keep.
        constants: Values of columns that a row does not have.
        known: Names of all columns, so that a value of another one is a problem; None for any.

    Yields:
        The columns. A value that does not have its column's type, or is not valid Unicode, is null and its problem is
        recorded. An empty field of CSV is null unless its column holds strings.

    Raises:
        InputError: The header of a CSV file cannot be parsed.
    """
    source = read_rows(file, delimiter)
    while rows := list(itertools.islice(source, _ROWS)):
        problems = {i: row.problem for i, row in enumerate(rows) if row.problem}
        arrays = []
        for field in kept:
            name, constant = field.name, constants.get(field.name)
            values = [row.values.get(name, constant) for row in rows]
            if delimiter and not is_text(field.type):
                values = [None if value == "" else value for value in values]
            arrays.append(_convert_column(values, field, problems))
        texts = _convert_texts([row.values.get(text_column) for row in rows], text_column, problems)
        if known is not None:
            _report_late_columns(rows, known, problems)
        yield Columns(arrays, texts, problem_column(problems, len(rows)))


def _open_csv(file: BinaryIO, delimiter: str) -> Iterator[Row[list[str]]]:
    return csv_rows(read_lines(file, universal_newlines=False), _MAX_CSV_FIELD_CHARACTERS, delimiter)


def _read_header(rows: Iterator[Row[list[str]]]) -> list[str]:
    header = next(rows, None)
    if header is not None and header.problem:
        raise InputError(f"line {header.line}: {header.problem}.")
    return header.values if header else []


def _named_csv_rows(rows: Iterator[Row[list[str]]]) -> Iterator[Row[dict[str, Any]]]:
    header = _read_header(rows)
    for row in rows:
        yield Row(row.line, {} if row.problem else dict(zip(header, row.values, strict=True)), row.problem)


def _infer_type(values: Sequence[Any]) -> pa.DataType:
    try:
        type = pa.array(values).type
    except CONVERSION_ERRORS:
        return pa.string()
    return type if type in _SCALARS else pa.string()


def _convert_texts(values: list[Any], name: str, problems: dict[int, str]) -> pa.Array:
    field = pa.field(name, pa.large_string())
    for row, value in enumerate(values if _types(values) - {str} else ()):
        if value is not None and not isinstance(value, str):
            add_problem(problems, row, describe(field, value))
            values[row] = None
    return _convert_column(values, field, problems)


def _convert_column(values: list[Any], field: pa.Field, problems: dict[int, str]) -> pa.Array:
    """Convert values to a column; values that do not fit become null and are described in `problems`."""
    types = _types(values)
    if is_text(field.type) and types - {str}:
        values, types = (
            [value if value is None or isinstance(value, str) else json.dumps(value) for value in values],
            {str},
        )
    column = (_convert_values if len(types) < 2 else _convert_mixture)(values, field.type)
    if column.null_count > values.count(None):
        for row in np.flatnonzero(column.is_null().to_numpy(False)).tolist():
            if values[row] is not None:
                add_problem(problems, row, describe(field, values[row]))
    return column


def _types(values: Sequence[Any]) -> set[type]:
    return {*map(type, values)} - {type(None)}


def _convert_mixture(values: list[Any], type: pa.DataType) -> pa.Array:
    """Convert the values of each type separately: pyarrow rejects most mixtures, and rounds integers among floats."""
    rows_of = collections.defaultdict(list)
    for row, value in enumerate(values):
        rows_of[value.__class__].append(row)
    arrays = [_convert_values([values[row] for row in rows], type) for rows in rows_of.values()]
    return pa.concat_arrays(arrays).take(pa.array(np.argsort(np.concatenate([*rows_of.values()]))))


def _convert_values(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    try:
        return cast_exactly(_infer_array(values), type)
    except CONVERSION_ERRORS:
        if len(values) < 2:
            return pa.nulls(len(values), type)
        middle = len(values) // 2
        return pa.concat_arrays([_convert_values(part, type) for part in (values[:middle], values[middle:])])


def _infer_array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:  # pyarrow infers decimals for integers of more than 64 bits only if Python does.
        return pa.array([decimal.Decimal(value) if type(value) is int else value for value in values])


def _report_late_columns(rows: Sequence[Row[dict[str, Any]]], known: Set[str], problems: dict[int, str]) -> None:
    for i, row in enumerate(rows):
        for name in () if row.values.keys() <= known else row.values.keys() - known:
            if row.values[name] is not None:
                reason = (
                    f"is not kept, because the first {_ROWS_TO_INFER_FROM:,} rows do not have it; pass it with --keep"
                )
                add_problem(problems, i, f"{name!r} {reason}")
