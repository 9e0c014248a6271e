"""Conversion of the rows of JSON lines and CSV files to pyarrow columns.

A row that cannot be parsed becomes a row of nulls with the reason, so that it does not affect any other row.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from minilm_jax.config import CorpusFormat
from minilm_jax.errors import InputError
from minilm_jax.files.rows import Row, csv_rows, json_rows, read_lines
from minilm_jax.scale.column_checks import check_column

# This many rows are converted together.
_ROWS = 1_024
# The columns of JSON lines are inferred from this many rows at the start of a file.
_ROWS_TO_INFER_FROM = 1_024
# Without this limit, a quote that is never closed would include the rest of the file in one field.
_MAX_CSV_FIELD_CHARACTERS = 2**24
# pyarrow raises these exceptions for values that do not fit their column.
_CONVERSION_ERRORS = (pa.ArrowException, UnicodeError, OverflowError)
_SCALARS = (pa.bool_(), pa.int64(), pa.float64(), pa.string())


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


def read_rows(file: BinaryIO, format: CorpusFormat) -> Iterator[Row[dict[str, Any]]]:
    """Read the rows of a text file with their values by column name; blank lines are skipped.

    Args:
        file: File opened for reading in binary mode; UTF-8, with or without a byte order mark.
        format: "jsonl" or "csv".

    Yields:
        The rows, in order.

    Raises:
        InputError: The header of a CSV file cannot be parsed.
    """
    return _named_csv_rows(_open_csv(file)) if format == "csv" else json_rows(read_lines(file))


def infer_schema(file: BinaryIO, format: CorpusFormat, text_column: str) -> pa.Schema:
    """Infer the columns of a text file from its first thousand rows.

    Args:
        file: As for `read_rows`.
        format: As for `read_rows`.
        text_column: Name of the column that holds the texts. If the first rows do not have it, it is searched for in
            all rows, because objects may omit keys.

    Returns:
        The schema. CSV has no types, so its columns are strings. Columns of JSON lines are booleans, int64, float64 or
        strings; other and mixed values become strings of JSON.

    Raises:
        InputError: The header of a CSV file or the first thousand lines of a JSON file cannot be parsed, or no object
            has the column of texts.
    """
    if format == "csv":
        return pa.schema([(name, pa.string()) for name in _read_header(_open_csv(file))])
    rows = read_rows(file, format)
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


def read_columns(file: BinaryIO, format: CorpusFormat, text_column: str, kept: pa.Schema) -> Iterator[Columns]:
    """Read a text file as columns, about a thousand rows at a time.

    Args:
        file: As for `read_rows`.
        format: As for `read_rows`.
        text_column: Name of the column that holds the texts.
        kept: Names and types of the columns to keep.

    Yields:
        The columns. A value that does not have its column's type, or is not valid Unicode, is null and its problem is
        recorded.

    Raises:
        InputError: The header of a CSV file cannot be parsed.
    """
    source = read_rows(file, format)
    while rows := list(itertools.islice(source, _ROWS)):
        problems = [row.problem for row in rows]
        arrays = [
            _convert_column([row.values.get(name) for row in rows], name, type, problems)
            for name, type in [*zip(kept.names, kept.types, strict=True), (text_column, pa.large_string())]
        ]
        yield Columns(arrays[:-1], arrays[-1], pa.array(problems, pa.string()))


def decode_column(values: Sequence[bytes | None], name: str) -> tuple[pa.Array, pa.Array]:
    """Decode a column of UTF-8 bytes.

    Args:
        values: Encoded texts, or None.
        name: Name of the column, for the problems.

    Returns:
        large_string, the texts, and string, the reason why a value became null.
    """
    problems: list[str | None] = [None] * len(values)
    decoded = [None if value is None else value.decode(errors="surrogateescape") for value in values]
    texts = _convert_column(decoded, name, pa.large_string(), problems)
    return texts, pa.array(problems, pa.string())


def _open_csv(file: BinaryIO) -> Iterator[Row[list[str]]]:
    return csv_rows(read_lines(file, universal_newlines=False), _MAX_CSV_FIELD_CHARACTERS)


def _read_header(rows: Iterator[Row[list[str]]]) -> list[str]:
    header = next(rows, None)
    if header is not None and header.problem:
        raise InputError(f"line {header.line}: {header.problem}.")
    return header.values if header else []


def _named_csv_rows(rows: Iterator[Row[list[str]]]) -> Iterator[Row[dict[str, Any]]]:
    header = _read_header(rows)
    for row in rows:
        if row.problem:
            yield Row(row.line, {}, row.problem)
        elif len(row.values) == len(header):
            yield Row(row.line, dict(zip(header, row.values, strict=True)))
        else:
            yield Row(row.line, {}, f"not CSV: {len(row.values)} values for {len(header)} columns")


def _infer_type(values: Sequence[Any]) -> pa.DataType:
    try:
        type = pa.array(values).type
    except _CONVERSION_ERRORS:
        return pa.string()
    return type if type in _SCALARS else pa.string()


def _convert_column(values: list[Any], name: str, type: pa.DataType, problems: list[str | None]) -> pa.Array:
    """Convert values to a column; values that do not fit become null and are described in `problems`."""
    if type == pa.string():
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    try:
        return _convert_exactly(values, type)
    except _CONVERSION_ERRORS:
        pass
    for i, value in enumerate(values):
        try:
            _convert_exactly([value], type)
        except _CONVERSION_ERRORS:
            values[i] = None
            problem = _describe_problem(name, value, type)
            # The column of texts is converted twice if it is kept, but its problem is recorded once.
            if problem not in (problems[i] or ""):
                problems[i] = f"{problems[i]}; {problem}" if problems[i] else problem
    return _convert_exactly(values, type)


def _describe_problem(name: str, value: Any, type: pa.DataType) -> str:
    kind = "string" if pa.types.is_large_string(type) else type
    is_text = isinstance(value, str) and kind in ("string", pa.string())
    return f"{name!r} is not {'valid Unicode' if is_text else f'of type {kind}'}: {json.dumps(value):.80}"


def _convert_exactly(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    """Convert values of a type, or strings that spell them; `pa.array(values, type)` would truncate 1.5 to 1."""
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return pa.array(values, type)
    array = pa.array(values)
    both_numbers = _is_number(array.type) and _is_number(type)
    if not (both_numbers or array.type == type or pa.types.is_string(array.type) or pa.types.is_null(array.type)):
        raise pa.ArrowInvalid(f"{array.type} values cannot become {type}")
    return array.cast(type)


def _is_number(type: pa.DataType) -> bool:
    return pa.types.is_integer(type) or pa.types.is_floating(type)
