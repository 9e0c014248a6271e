"""The parser of JSON lines and CSV files, for every command that reads them.

A row that cannot be parsed is returned with the problem instead of its values, and the next row starts on the next
line. pyarrow's own readers stop at the first such row, and at a row that is longer than one of their blocks.
"""

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

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


def read_lines(file: BinaryIO, *, universal_newlines: bool = True) -> Iterator[str]:
    r"""Decode a UTF-8 file, with or without a byte order mark, line by line.

    Args:
        file: File opened for reading in binary mode. It is left open.
        universal_newlines: Whether every line end becomes "\n". CSV files need False, as fields may contain line ends.

    Yields:
        Lines. A byte that is not UTF-8 becomes a lone surrogate, so that the error can name its line or value.
    """
    reader = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=None if universal_newlines else "")
    try:
        yield from reader
    finally:
        with contextlib.suppress(ValueError):  # The caller may have closed the file already.
            reader.detach()


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


def csv_rows(lines: Iterator[str], max_field_characters: int | None = None) -> Iterator[Row[list[str]]]:
    """Parse CSV; blank lines are skipped.

    Args:
        lines: Lines of the file, with their original line ends.
        max_field_characters: Maximum characters per field on average over a row, or None for no limit. It limits the
            damage of a quote that is never closed, which would otherwise include the rest of the file in one field.

    Yields:
        One row per record, with one string per field. The first one is the header.
    """
    csv.field_size_limit(_MAX_CSV_FIELD_CHARACTERS)
    counted = _CountedLines(lines, max_field_characters)
    reader, columns = csv.reader(counted, strict=True), 0
    while True:
        counted.row_characters = 0
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(counted.number, [], f"not CSV: {error}")
            continue
        if values:
            if max_field_characters is not None and not columns:
                columns = len(values)
                counted.max_row_characters = max_field_characters * columns
            yield Row(counted.number, values)


def _json_row(number: int, line: str) -> Row[dict[str, Any]]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        return Row(number, {}, f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # A number has too many digits, or brackets are nested too deeply.
        return Row(number, {}, f"cannot be parsed as JSON: {error}")
    if not isinstance(values, dict):
        return Row(number, {}, f'{JSON_TYPE_NAMES[type(values)]}, not an object such as {{"text": "…"}}')
    return Row(number, values)


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
