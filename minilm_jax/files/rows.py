"""The parser of JSON lines and CSV files, for every command that reads them.

A row that cannot be parsed is returned with the problem instead of its values, and the next row starts on the next
line. pyarrow's own readers stop at the first such row, and at a row that is longer than one of their blocks.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from minilm_jax.files.lines import is_unicode

_Values = TypeVar("_Values")

# The csv module's limit is one per process, and its default rejects a field of 131,073 characters. Every reader sets
# the same value, so that readers on several threads do not affect each other.
_MAX_CSV_FIELD_CHARACTERS = 2**31 - 1

JSON_TYPE_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


class Row(NamedTuple, Generic[_Values]):
    """One row of a file.

    Attributes:
        line: Line number, counted from 1; the last line of a row that spans several.
        values: The parsed values; empty if the row has a problem.
        problem: Why the row could not be parsed, or None.
    """

    line: int
    values: _Values
    problem: str | None = None


def json_rows(lines: Iterator[str]) -> Iterator[Row[dict[str, Any]]]:
    """Parse JSON lines; blank lines are skipped.

    Args:
        lines: Lines of the file.

    Yields:
        One row per object, with its members by name.
    """
    for number, line in enumerate(lines, 1):
        if not line.isspace():
            yield _json_row(number, line)


def csv_rows(
    lines: Iterator[str], max_field_characters: int | None = None, delimiter: str = ","
) -> Iterator[Row[list[str]]]:
    """Parse CSV; blank lines are skipped.

    Args:
        lines: Lines of the file, with their original line ends.
        max_field_characters: Maximum characters per field on average over a row, or None for no limit. It limits the
            damage of a quote that is never closed, which would otherwise include the rest of the file in one field.
        delimiter: Character between fields.

    Yields:
        One row per record, with one string per column. The first one is the header.
    """
    counted = _CountedLines(lines, max_field_characters)
    rows = _csv_records(counted, delimiter)
    header = next((row for row in rows if row.problem or any(map(str.strip, row.values))), None)
    if header is None:
        return
    if name := next((name for name in header.values if not is_unicode(name)), None):
        header = Row(header.line, [], f"the column name {name!r} is not UTF-8; convert the file with iconv")
    yield header
    columns = len(header.values)
    if max_field_characters is not None:
        counted.max_row_characters = max_field_characters * max(columns, 1)
    for row in rows:
        if row.problem or len(row.values) == columns:
            yield row
        else:
            yield Row(row.line, [], _width_problem(len(row.values), columns, delimiter))


def _csv_records(counted: "_CountedLines", delimiter: str) -> Iterator[Row[list[str]]]:
    csv.field_size_limit(_MAX_CSV_FIELD_CHARACTERS)
    reader = csv.reader(counted, strict=True, delimiter=delimiter)
    while True:
        counted.row_characters = 0
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(counted.number, [], f"not CSV: {error}")
        else:
            if values:
                yield Row(counted.number, values)


def _width_problem(values: int, columns: int, delimiter: str) -> str:
    if values < columns:
        return f"not CSV: {values} values for {columns} columns"
    return f"not CSV: {values} values for {columns} columns; enclose values that contain {delimiter!r} in double quotes"


def _json_row(number: int, line: str) -> Row[dict[str, Any]]:
    try:
        values = _JSON.decode(line)
    except json.JSONDecodeError as error:
        return Row(number, {}, f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # A number has too many digits, or brackets are nested too deeply.
        return Row(number, {}, f"cannot be parsed as JSON: {error}")
    if not isinstance(values, dict):
        return Row(number, {}, f'{JSON_TYPE_NAMES[type(values)]}, not an object such as {{"text": "…"}}')
    if name := next((name for name in values if not is_unicode(name)), None):
        return Row(number, {}, f"the key {name!r} is not valid Unicode")
    return Row(number, values)


def _json_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(members)
    if len(values) < len(members):
        names = [name for name, _ in members]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return values


_JSON = json.JSONDecoder(object_pairs_hook=_json_object)


class _CountedLines:
    """Iterator over the lines of a CSV file that counts them and limits the characters per row."""

    def __init__(self, lines: Iterator[str], max_row_characters: int | None) -> None:
        self.number, self.row_characters = 0, 0
        self._lines, self.max_row_characters = lines, max_row_characters

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self.row_characters += len(line)
        if self.max_row_characters is not None and self.row_characters > self.max_row_characters:
            raise csv.Error(f"a row of more than {self.max_row_characters:,} characters; is a quote not closed?")
        return line
