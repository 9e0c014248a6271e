"""Texts from files of any size: plain lines, JSON lines, or a column of CSV or Parquet. Every error names its line."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

from minilm_jax.config import TextFormat
from minilm_jax.errors import InputError
from minilm_jax.files.columns import column_problem, header_problem
from minilm_jax.files.lines import is_unicode, read_lines
from minilm_jax.files.parquet import read_column
from minilm_jax.files.rows import JSON_TYPE_NAMES, Row, csv_rows, json_rows

FORMATS: Mapping[str, TextFormat] = {
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

# A chunk is limited to this many texts and characters. Larger chunks fill batches better; smaller ones show progress
# sooner.
_CHUNK_TEXTS = 4_096
_CHUNK_CHARACTERS = 16_000_000

_Values = TypeVar("_Values")


def read_texts(file: BinaryIO, format: TextFormat, field: str = "text", delimiter: str | None = None) -> Iterator[str]:
    """Read the texts of a file lazily; `file.tell()` shows how much has been read.

    Args:
        file: File opened for reading in binary mode; UTF-8, with or without a byte order mark, and any line ends. It is
            left open. A Parquet file must be seekable.
        format: "txt" (every line is a text, including empty ones), "jsonl" (one object per line), "csv" or "tsv" (with
            a header) or "parquet".
        field: Member or column that holds the text; not used for "txt".
        delimiter: Character between the fields of CSV, by default "," or, for "tsv", a tab.

    Yields:
        The texts, in order.

    Raises:
        InputError: A line cannot be decoded or parsed, or has no such text.
    """
    if format == "parquet":
        texts = _column_texts(file, field)
    elif format == "txt":
        texts = (line.removesuffix("\n") for line in valid_lines(file))
    elif format == "jsonl":
        texts = _json_texts(json_rows(valid_lines(file)), field)
    else:
        delimiter = delimiter or ("\t" if format == "tsv" else ",")
        rows = csv_rows(valid_lines(file, universal_newlines=False), delimiter=delimiter)
        texts = _csv_texts(rows, field, delimiter)
    try:
        yield from texts
    except InputError as error:
        raise InputError(f"{getattr(file, 'name', '<stdin>')}, {error}") from None


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


def valid_lines(file: BinaryIO, *, universal_newlines: bool = True) -> Iterator[str]:
    """Decode the lines of a file, see `read_lines`; raises InputError at a byte that is not UTF-8."""
    for number, line in enumerate(read_lines(file, universal_newlines=universal_newlines), 1):
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            raise InputError(f"line {number}: byte 0x{byte:02X} is not UTF-8; convert the file with iconv.") from None
        yield line


def without_problems(rows: Iterator[Row[_Values]]) -> Iterator[Row[_Values]]:
    """Yield rows; raises InputError at the first one that could not be parsed."""
    for row in rows:
        if row.problem:
            raise InputError(f"line {row.line}: {row.problem}.")
        yield row


def _json_texts(rows: Iterator[Row[dict[str, Any]]], field: str) -> Iterator[str]:
    for row in without_problems(rows):
        if field not in row.values:
            raise InputError(f"line {row.line}: {column_problem(field, list(row.values), 'field')}")
        yield _checked_text(row.values[field], field, f"line {row.line}")


def _csv_texts(rows: Iterator[Row[list[str]]], field: str, delimiter: str) -> Iterator[str]:
    rows = without_problems(rows)
    header = next(rows, None)
    if header is None:
        return
    if problem := header_problem(field, header.values, delimiter):
        raise InputError(f"line {header.line}: {problem}")
    column = header.values.index(field)
    yield from (row.values[column] for row in rows)


def _column_texts(file: BinaryIO, column: str) -> Iterator[str]:
    for number, value in enumerate(read_column(file, column), 1):
        yield _checked_text(value, column, f"row {number}")


def _checked_text(value: Any, field: str, place: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place}: {field!r} is {JSON_TYPE_NAMES[type(value)]}, not a string.")
    if not is_unicode(value):
        raise InputError(
            f"{place}: {field!r} is not valid Unicode: it has half a surrogate pair (\\ud800 … \\udfff), or bytes that"
            " are not UTF-8."
        )
    return value
