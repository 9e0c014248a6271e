"""Reads inputs: what columns and row groups a file has, and the rows of a part as a stream of batches."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.scale import text_columns as text_rows
from minilm_jax.scale.inputs import InputFile
from minilm_jax.scale.store import filesystem, shown

# Rows of a Parquet file that are decoded together, and what is read of a column at a time: memory stays flat whatever
# the size of the row groups.
_ROWS = 1_024
_BUFFER = 4 << 20
# Enough that what is read ahead of them matters little.
_ROWS_TO_ESTIMATE_FROM = 16_384
_ARROW_MAGIC = b"ARROW1"


class UnreadableInput(InputError):
    """A file that is damaged, gone, or not what it seems; the others of the corpus are none the worse."""


class Contents(NamedTuple):
    """What a file says of itself.

    Attributes:
        file: The file, its version more certain than before.
        schema: All its columns.
        groups: Rows of each row group (of record batches: of the first), or None for a file that is read as a whole.
    """

    file: InputFile
    schema: pa.Schema
    groups: list[int] | None


class Rows(NamedTuple):
    """Some rows of a part.

    Attributes:
        kept: The columns that are kept.
        texts: large_string, null where there is none.
        problems: string, why a value became null.
    """

    kept: pa.RecordBatch
    texts: pa.Array
    problems: pa.Array


@contextlib.contextmanager
def opened(file: InputFile) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Opens a file: as it lies there, and decompressed.

    Raises:
        UnreadableInput: It cannot be read, or the block could not make sense of it.
    """
    try:
        fs, path = filesystem(file.url)
        with fs.open(path, "rb") as raw:
            yield raw, io.BufferedReader(pa.CompressedInputStream(raw, file.compression)) if file.compression else raw
    except InputError as error:
        raise UnreadableInput(f"{shown(file.url)}: {error}") from error
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError) as error:
        raise UnreadableInput(
            f"{shown(file.url)} cannot be read: {(str(error) or type(error).__name__).splitlines()[0]:.300}"
        ) from error


def inspect(file: InputFile) -> Contents:
    """Looks at a file's columns and row groups, without reading its rows.

    Raises:
        UnreadableInput: It cannot be read.
    """
    with opened(file) as (_, stream):
        if file.format == "parquet":
            return _inspect_parquet(file, stream)
        if file.format == "arrow":
            return _inspect_arrow(file, stream)
        return Contents(file, text_rows.infer(stream, file.format), None)


def read(file: InputFile, groups: tuple[int, ...] | None, text_column: str, kept: pa.Schema) -> Iterator[Rows]:
    """Reads rows.

    Args:
        file: Where they are.
        groups: Which of its row groups or record batches, or None for all.
        text_column: The column that holds the texts.
        kept: The other columns to read, and the types that they are cast to.

    Yields:
        The rows, in order, in batches of any size.

    Raises:
        UnreadableInput: The file cannot be read, or has no such columns.
    """
    if file.format in ("jsonl", "csv"):
        schema = inspect(file).schema
        if not schema.names:  # An empty file.
            return
        # Lines of JSON need not have every column.
        if file.format == "csv" or text_column in schema.names:
            _check_columns(schema, text_column, *(kept.names if file.format == "csv" else ()))
    with opened(file) as (_, stream):
        if file.format in ("jsonl", "csv"):
            for columns in text_rows.columns(stream, file.format, text_column, kept):
                yield Rows(pa.RecordBatch.from_arrays(columns.kept, schema=kept), columns.texts, columns.problems)
            return
        names = list(dict.fromkeys([text_column, *kept.names]))
        batches = _parquet_batches if file.format == "parquet" else _arrow_batches
        for batch in batches(stream, groups, names):
            texts, problems = _texts(batch.column(text_column), text_column)
            arrays = [batch.column(field.name).cast(field.type) for field in kept]
            for place, field in enumerate(kept):
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
                    strings, others = _texts(arrays[place], field.name)
                    arrays[place], problems = strings.cast(field.type), _either(problems, others)
            yield Rows(pa.RecordBatch.from_arrays(arrays, schema=kept), texts, problems)


def rows_per_byte(file: InputFile) -> float:
    """Estimates how many rows a byte of a file has, from its beginning.

    Raises:
        UnreadableInput: It cannot be read.
    """
    groups = inspect(file).groups
    if groups is not None:
        return sum(groups) / file.size
    with opened(file) as (raw, stream):
        if file.format == "arrow":
            with _arrow_stream(stream) as reader:
                rows = next((batch.num_rows for batch in reader), 0)
        else:
            rows = sum(1 for _ in itertools.islice(text_rows.rows(stream, file.format), _ROWS_TO_ESTIMATE_FROM))
        return rows / max(raw.tell(), 1)


def check_column(name: str, schema: pa.Schema) -> None:
    """Raises InputError where a schema has no such column."""
    if name not in schema.names:
        there = ", ".join(map(repr, schema.names)) or "none"
        raise InputError(f"no column {name!r}; there is {there}.{did_you_mean(name, schema.names)}")


def check_text_column(name: str, schema: pa.Schema) -> None:
    """Raises InputError where a schema has no such column, or it holds no strings."""
    check_column(name, schema)
    type = schema.field(name).type
    if pa.types.is_dictionary(type):
        type = type.value_type
    if not any(of_kind(type) for of_kind in _TEXT_TYPES):
        raise InputError(f"column {name!r} holds {type}, not strings.")


_TEXT_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
)


def _inspect_parquet(file: InputFile, stream: BinaryIO) -> Contents:
    parquet = pq.ParquetFile(stream)
    groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.metadata.num_row_groups)]
    # The last eight bytes are the footer's length and the magic number.
    stream.seek(-8 - parquet.metadata.serialized_size, 2)
    footer = hashlib.sha256(stream.read()).hexdigest()
    return Contents(dataclasses.replace(file, version=f"{file.version} {footer}"), parquet.schema_arrow, groups)


def _inspect_arrow(file: InputFile, stream: BinaryIO) -> Contents:
    if file.compression or not _is_arrow_file(stream):
        with _arrow_stream(stream) as reader:
            return Contents(file, reader.schema, None)
    with ipc.open_file(stream) as reader:
        # Only reading a record batch tells how many rows it has; those that one writer made are alike.
        rows = reader.get_batch(0).num_rows if reader.num_record_batches else 0
        return Contents(file, reader.schema, [rows] * reader.num_record_batches)


def _parquet_batches(stream: BinaryIO, groups: tuple[int, ...] | None, names: list[str]) -> Iterator[pa.RecordBatch]:
    parquet = pq.ParquetFile(stream, buffer_size=_BUFFER)
    _check_columns(parquet.schema_arrow, *names)
    yield from parquet.iter_batches(_ROWS, groups, names)


def _arrow_batches(stream: BinaryIO, groups: tuple[int, ...] | None, names: list[str]) -> Iterator[pa.RecordBatch]:
    if groups is None:
        with _arrow_stream(stream) as reader:
            _check_columns(reader.schema, *names)
            yield from reader
        return
    with ipc.open_file(stream) as reader:
        _check_columns(reader.schema, *names)
        wanted = [reader.schema.get_field_index(name) for name in names]
    with ipc.open_file(stream, options=ipc.IpcReadOptions(included_fields=wanted)) as reader:
        for group in groups:
            yield reader.get_batch(group)


def _check_columns(schema: pa.Schema, text_column: str, *kept: str) -> None:
    check_text_column(text_column, schema)
    for name in kept:
        check_column(name, schema)


def _is_arrow_file(stream: BinaryIO) -> bool:
    if isinstance(stream, io.BufferedReader):
        return stream.peek(len(_ARROW_MAGIC)).startswith(_ARROW_MAGIC)
    magic = stream.read(len(_ARROW_MAGIC))
    stream.seek(0)
    return magic == _ARROW_MAGIC


def _arrow_stream(stream: BinaryIO) -> ipc.RecordBatchStreamReader:
    # The file form is the stream form after eight bytes; where it is compressed it cannot be read otherwise.
    if _is_arrow_file(stream):
        stream.read(8)
    return ipc.open_stream(stream)


def _texts(column: pa.Array, name: str) -> tuple[pa.Array, pa.Array]:
    """Returns texts as large_string, and as string what is wrong with those that became null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    raw = column.cast(pa.large_binary())
    try:
        return raw.cast(pa.large_string()), pa.nulls(len(raw), pa.string())
    except pa.ArrowInvalid:  # Not UTF-8, which readers do not check.
        return text_rows.decoded(raw.to_pylist(), name)


def _either(problems: pa.Array, others: pa.Array) -> pa.Array:
    if others.null_count == len(others):
        return problems
    return pa.array(
        [one or other for one, other in zip(problems.to_pylist(), others.to_pylist(), strict=True)], pa.string()
    )
