"""Rows out of JSON lines and CSV, one by one, so that a row that cannot be read costs no other.

pyarrow's own readers stop at the first such row, and at a row that is longer than a block.
"""

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from minilm_jax.config import CorpusFormat

# Rows that are turned into columns together.
_ROWS = 1_024
# Of a file, to find what its columns are.
_ROWS_TO_INFER_FROM = 1_024
# A quote that is never closed would take the rest of the file into one field.
_LONGEST_FIELD = 2**24
# What pyarrow raises for values that do not fit their column.
_UNFIT = (pa.ArrowException, UnicodeError, OverflowError)
_SCALARS = (pa.bool_(), pa.int64(), pa.float64(), pa.string())


class Row(NamedTuple):
    """A row of a text file.

    Attributes:
        values: By column; none where the row could not be read.
        problem: Why it could not, or None.
    """

    values: Mapping[str, Any]
    problem: str | None = None


class Columns(NamedTuple):
    """Some rows as columns.

    Attributes:
        kept: In the order of the schema.
        texts: large_string, null where there is none.
        problems: string, why a value became null.
    """

    kept: list[pa.Array]
    texts: pa.Array
    problems: pa.Array


def rows(stream: BinaryIO, format: CorpusFormat) -> Iterator[Row]:
    """Reads the rows of a text file; blank lines are none.

    Args:
        stream: UTF-8, with or without a byte order mark.
        format: "jsonl" or "csv".

    Yields:
        The rows, in order.
    """
    lines = _lines(stream, format)
    return _csv_rows(_csv_reader(lines)) if format == "csv" else _json_rows(lines)


def infer(stream: BinaryIO, format: CorpusFormat) -> pa.Schema:
    """Finds the columns of a text file in its first thousand rows.

    Args:
        stream: As for `rows`.
        format: As for `rows`.

    Returns:
        Columns of a CSV file are strings, as it has no types. Those of JSON lines are booleans, int64, float64 or
        strings; other or mixed values are strings too, of JSON.
    """
    if format == "csv":
        return pa.schema([(name, pa.string()) for name in next(_csv_reader(_lines(stream, format)), [])])
    seen: dict[str, list[Any]] = {}
    for row in itertools.islice(rows(stream, format), _ROWS_TO_INFER_FROM):
        for name, value in row.values.items():
            seen.setdefault(name, []).append(value)
    return pa.schema([(name, _type(values)) for name, values in seen.items()])


def columns(stream: BinaryIO, format: CorpusFormat, text_column: str, kept: pa.Schema) -> Iterator[Columns]:
    """Reads a text file by columns, a thousand rows at a time.

    Args:
        stream: As for `rows`.
        format: As for `rows`.
        text_column: The column of the texts.
        kept: Which others to read, and their types.

    Yields:
        The columns. A value that is not of its column's type, or no valid Unicode, is null and has its problem told.
    """
    source = rows(stream, format)
    while batch := list(itertools.islice(source, _ROWS)):
        problems = [row.problem for row in batch]
        arrays = [_column(batch, field.name, field.type, problems) for field in kept]
        texts = _column(batch, text_column, pa.large_string(), problems)
        yield Columns(arrays, texts, pa.array(problems, pa.string()))


def decoded(values: Sequence[bytes | None], name: str) -> tuple[pa.Array, pa.Array]:
    """Decodes a column of UTF-8: large_string, and string for why a value became null."""
    problems: list[str | None] = [None] * len(values)
    batch = [Row({name: value if value is None else value.decode(errors="surrogateescape")}) for value in values]
    texts = _column(batch, name, pa.large_string(), problems)
    return texts, pa.array(problems, pa.string())


def _lines(stream: BinaryIO, format: CorpusFormat) -> Iterator[str]:
    # A wrong byte becomes a lone surrogate, by which the value that it is in is known later.
    newline = "" if format == "csv" else None
    reader = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=newline)
    try:
        yield from reader
    finally:
        with contextlib.suppress(ValueError):  # Whose the stream is has closed it.
            reader.detach()


def _json_rows(lines: Iterator[str]) -> Iterator[Row]:
    for line in lines:
        if not line.isspace():
            yield _json_row(line)


def _json_row(line: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row({}, f"not JSON: {error}")
    return Row(values) if isinstance(values, dict) else Row({}, "not a JSON object")


def _csv_reader(lines: Iterator[str]) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    return csv.reader(lines, strict=True)


def _csv_rows(reader: Iterator[list[str]]) -> Iterator[Row]:
    header = next(reader, [])
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row({}, f"not CSV: {error}")
            continue
        if len(values) == len(header):
            yield Row(dict(zip(header, values, strict=True)))
        elif values:
            yield Row({}, f"not CSV: {len(values)} values for {len(header)} columns")


def _type(values: Sequence[Any]) -> pa.DataType:
    try:
        type = pa.array(values).type
    except _UNFIT:
        return pa.string()
    return type if type in _SCALARS else pa.string()


def _column(batch: Sequence[Row], name: str, type: pa.DataType, problems: list[str | None]) -> pa.Array:
    """Returns a column, and adds to the problems of its rows."""
    values = [row.values.get(name) for row in batch]
    if type == pa.string():
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    try:
        return _exact(values, type)
    except _UNFIT:
        pass
    for i, value in enumerate(values):
        try:
            _exact([value], type)
        except _UNFIT:
            values[i] = None
            problem = _problem(name, value, type)
            if problem not in (problems[i] or ""):  # The column of texts may be kept too.
                problems[i] = f"{problems[i]}; {problem}" if problems[i] else problem
    return _exact(values, type)


def _problem(name: str, value: Any, type: pa.DataType) -> str:
    kind = "string" if pa.types.is_large_string(type) else type
    what = "not valid Unicode" if isinstance(value, str) and kind in ("string", pa.string()) else f"no {kind}"
    return f"{name!r} is {what}: {json.dumps(value):.80}"


def _exact(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    """Makes an array of values that are of its type, or of strings that say one; `pa.array` would cut 1.5 to 1."""
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return pa.array(values, type)
    array = pa.array(values)
    numbers = _is_number(array.type) and _is_number(type)
    if not (numbers or array.type == type or pa.types.is_string(array.type) or pa.types.is_null(array.type)):
        raise pa.ArrowInvalid(f"{array.type} is no {type}")
    return array.cast(type)


def _is_number(type: pa.DataType) -> bool:
    return pa.types.is_integer(type) or pa.types.is_floating(type)
