"""Texts out of files of any size: lines, JSON lines or a CSV column; every error names its line."""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from minilm_jax.config import TextFormat
from minilm_jax.errors import InputError, did_you_mean

FORMATS: Mapping[str, TextFormat] = {".txt": "txt", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}

# What is held of a file at a time. More texts sort into fuller batches; fewer show progress sooner.
_CHUNK_TEXTS = 4_096
_CHUNK_CHARACTERS = 16_000_000


def read_texts(file: BinaryIO, format: TextFormat, field: str = "text") -> Iterator[str]:
    """Reads the texts of a file one at a time; `file.tell()` says how far it has come.

    Args:
        file: Opened for reading; UTF-8, with or without a byte order mark, and any line ends. It is left open.
        format: "txt", where each line is a text, an empty one too; "jsonl", an object a line; or "csv", with a header.
        field: The member or column that holds the text.

    Yields:
        The texts, in order.

    Raises:
        InputError: A line cannot be decoded or parsed, or has no such text.
    """
    if format == "txt":
        return (line.removesuffix("\n") for line in _lines(file, newline=None))
    return _json_texts(file, field) if format == "jsonl" else _csv_texts(file, field)


def chunked(texts: Iterable[str]) -> Iterator[list[str]]:
    """Groups texts into lists that fit in memory.

    Args:
        texts: Any number of texts.

    Yields:
        Lists of a few thousand texts; at least one list, empty where there is no text.
    """
    chunk: list[str] = []
    characters = 0
    for text in texts:
        if len(chunk) == _CHUNK_TEXTS or characters > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        chunk.append(text)
        characters += len(text)
    yield chunk


def _lines(file: BinaryIO, newline: str | None) -> Iterator[str]:
    # surrogateescape lets a wrong byte through to the line it is on, which a strict decoder could not name.
    reader = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=newline)
    try:
        for number, line in enumerate(reader, 1):
            try:
                line.encode()
            except UnicodeEncodeError as error:
                byte = ord(line[error.start]) - 0xDC00
                raise _error(file, number, f"byte 0x{byte:02X} is not UTF-8; convert the file with iconv.") from None
            yield line
    finally:
        with contextlib.suppress(ValueError):  # The caller has closed the file.
            reader.detach()


def _json_texts(file: BinaryIO, field: str) -> Iterator[str]:
    for number, line in enumerate(_lines(file, newline=None), 1):
        if line.isspace():
            continue
        try:
            yield _json_text(line, field)
        except InputError as error:
            raise _error(file, number, str(error)) from None


def _json_text(line: str, field: str) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}.") from None
    except (ValueError, RecursionError) as error:  # A number of too many digits, or too many brackets.
        raise InputError(f"not JSON that can be read: {error}.") from None
    if not isinstance(record, dict):
        raise InputError(f'{_KINDS[type(record)]}, not an object such as {{"{field}": "…"}}.')
    if field not in record:
        raise InputError(_no_such("field", field, list(record)))
    return _checked(record[field], field)


def _checked(text: Any, field: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"{field!r} is {_KINDS[type(text)]}, not a string.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{field!r} has half a surrogate pair (\\ud800 … \\udfff), which is no valid Unicode."
        ) from None
    return text


_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _csv_texts(file: BinaryIO, field: str) -> Iterator[str]:
    import csv

    csv.field_size_limit(2**31 - 1)  # The default refuses a text of 131,073 characters.
    rows = csv.reader(_lines(file, newline=""), strict=True)
    try:
        header = next(rows, [field])
        if field not in header:
            raise _error(file, rows.line_num, _no_such("column", field, header))
        column = header.index(field)
        for row in rows:
            if row and len(row) <= column:
                raise _error(file, rows.line_num, f"{len(row)} of {len(header)} columns, so no {field!r}.")
            if row:
                yield row[column]
    except csv.Error as error:
        raise _error(file, rows.line_num, f"not CSV: {error}.") from None


def _no_such(kind: str, field: str, names: Sequence[str]) -> str:
    there = ", ".join(map(repr, names)) or "none"
    return f"no {kind} {field!r}; there is {there}.{did_you_mean(field, names)}"


def _error(file: BinaryIO, line: int, reason: str) -> InputError:
    return InputError(f"{getattr(file, 'name', '<stdin>')}, line {line}: {reason}")
