"""Texts from files of any size: plain lines, JSON lines or a CSV column. Every error names its line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

from minilm_jax.config import TextFormat
from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.files.rows import JSON_TYPE_NAMES, Row, csv_rows, json_rows, read_lines

FORMATS: Mapping[str, TextFormat] = {".txt": "txt", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}

# A chunk is limited to this many texts and characters. Larger chunks fill batches better; smaller ones show progress
# sooner.
_CHUNK_TEXTS = 4_096
_CHUNK_CHARACTERS = 16_000_000

_Values = TypeVar("_Values")


def read_texts(file: BinaryIO, format: TextFormat, field: str = "text") -> Iterator[str]:
    """Read the texts of a file lazily; `file.tell()` shows how much has been read.

    Args:
        file: File opened for reading in binary mode; UTF-8, with or without a byte order mark, and any line ends. It is
            left open.
        format: "txt" (every line is a text, including empty ones), "jsonl" (one object per line) or "csv" (with a
            header).
        field: Member or column that holds the text; not used for "txt".

    Yields:
        The texts, in order.

    Raises:
        InputError: A line cannot be decoded or parsed, or has no such text.
    """
    lines = _valid_lines(file, universal_newlines=format != "csv")
    if format == "txt":
        return (line.removesuffix("\n") for line in lines)
    return _json_texts(file, lines, field) if format == "jsonl" else _csv_texts(file, lines, field)


def chunked(texts: Iterable[str]) -> Iterator[list[str]]:
    """Group texts into lists that fit in memory.

    Args:
        texts: Any number of texts.

    Yields:
        Lists of up to a few thousand texts. If there are no texts, one empty list.
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


def _valid_lines(file: BinaryIO, *, universal_newlines: bool) -> Iterator[str]:
    for number, line in enumerate(read_lines(file, universal_newlines=universal_newlines), 1):
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            raise _error(file, number, f"byte 0x{byte:02X} is not UTF-8; convert the file with iconv.") from None
        yield line


def _without_problems(file: BinaryIO, rows: Iterator[Row[_Values]]) -> Iterator[Row[_Values]]:
    for row in rows:
        if row.problem:
            raise _error(file, row.line, f"{row.problem}.")
        yield row


def _json_texts(file: BinaryIO, lines: Iterator[str], field: str) -> Iterator[str]:
    for row in _without_problems(file, json_rows(lines)):
        if field not in row.values:
            raise _error(file, row.line, _missing("field", field, list(row.values)))
        if problem := _text_problem(row.values[field], field):
            raise _error(file, row.line, problem)
        yield row.values[field]


def _text_problem(value: Any, field: str) -> str | None:
    if not isinstance(value, str):
        return f"{field!r} is {JSON_TYPE_NAMES[type(value)]}, not a string."
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{field!r} has half a surrogate pair (\\ud800 … \\udfff), which is not valid Unicode."
    return None


def _csv_texts(file: BinaryIO, lines: Iterator[str], field: str) -> Iterator[str]:
    rows = _without_problems(file, csv_rows(lines))
    header = next(rows, None)
    if header is None:
        return
    if field not in header.values:
        raise _error(file, header.line, _missing("column", field, header.values))
    column = header.values.index(field)
    for row in rows:
        if len(row.values) <= column:
            reason = f"{len(row.values)} of {len(header.values)} columns; {field!r} is missing."
            raise _error(file, row.line, reason)
        yield row.values[column]


def _missing(kind: str, field: str, names: Sequence[str]) -> str:
    available = ", ".join(map(repr, names)) or "none"
    return f"no {kind} {field!r}; available: {available}.{did_you_mean(field, names)}"


def _error(file: BinaryIO, line: int, reason: str) -> InputError:
    return InputError(f"{getattr(file, 'name', '<stdin>')}, line {line}: {reason}")
