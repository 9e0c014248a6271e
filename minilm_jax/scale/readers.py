"""Readers of input files: their columns and row groups, and the rows of a part in batches."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from minilm_jax.errors import InputError
from minilm_jax.scale import text_columns
from minilm_jax.scale.column_checks import check_columns
from minilm_jax.scale.inputs import InputFile
from minilm_jax.scale.partitions import partition_fields, partition_values
from minilm_jax.scale.problems import cast_column, problem_column
from minilm_jax.scale.store import filesystem

# This many rows of a Parquet file are decoded together, and this many bytes of a column are read at a time, so that
# memory does not depend on the size of the row groups.
_ROWS = 1_024
_BUFFER = 4 << 20
# With this many rows, the read-ahead of the decompressor hardly affects the estimate.
_ROWS_TO_ESTIMATE_FROM = 16_384
_ARROW_MAGIC = b"ARROW1"
# The message of zstd for a window of more than 128 MiB.
_WINDOW_TOO_LARGE = "Frame requires too much memory for decoding"


class UnreadableInput(InputError):
    """A file that is damaged, missing, or not in its stated format; the other files are not affected."""


class Contents(NamedTuple):
    """Columns and row groups of a file.

    Attributes:
        file: The file; for Parquet, its version now includes a hash of the footer.
        schema: All columns of the file.
        groups: Rows of each Parquet row group or Arrow record batch, or None for a file that is read as a whole. All
            record batches are assumed to have as many rows as the first.
    """

    file: InputFile
    schema: pa.Schema
    groups: list[int] | None


class Rows(NamedTuple):
    """A batch of rows of a part.

    Attributes:
        kept: The columns that are kept.
        texts: large_string; null for a missing text.
        problems: string; the reason why a value of the row became null.
    """

    kept: pa.RecordBatch
    texts: pa.Array
    problems: pa.Array


@contextlib.contextmanager
def open_input(file: InputFile) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file for reading.

    Args:
        file: The file.

    Yields:
        The stored bytes and the decompressed bytes.

    Raises:
        UnreadableInput: The file cannot be opened, or the block raised an error while it read the file.
    """
    if file.problem:
        raise UnreadableInput(f"{file} {file.problem}.")
    try:
        fs, path = filesystem(file.url)
        with fs.open(path, "rb") as raw:
            yield raw, io.BufferedReader(pa.CompressedInputStream(raw, file.compression)) if file.compression else raw
    except InputError as error:
        raise UnreadableInput(f"{file}: {error!s:.1000}") from error
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError) as error:
        raise UnreadableInput(f"{file} cannot be read: {_reason(file, error)}") from error


def _reason(file: InputFile, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if file.compression == "zstd" and _WINDOW_TOO_LARGE in reason:
        name = shlex.quote(PurePosixPath(str(file)).name)
        return f"it was compressed with zstd --long; recompress it: zstd -dc --long=31 {name} | zstd -o new.zst"
    return f"{reason:.300}"


def inspect(file: InputFile, text_column: str, kept: Sequence[str] | None) -> Contents:
    """Return the columns and row groups of a file, without reading its rows.

    Args:
        file: The file.
        text_column: Name of the column that holds the texts.
        kept: Names of the columns to keep, or None for all.

    Raises:
        UnreadableInput: The file cannot be read, has no such column of texts, or has several columns of one name.
    """
    with open_input(file) as (_, stream):
        if file.format == "parquet":
            contents = _inspect_parquet(file, stream)
        elif file.format == "arrow":
            contents = _inspect_arrow(file, stream)
        else:
            contents = Contents(file, text_columns.infer_schema(stream, file.delimiter, text_column), None)
        if contents.schema.names or file.format in ("parquet", "arrow"):  # Other files are empty.
            check_columns(contents.schema, text_column, kept)
            more = [field for field in partition_fields(file.found_at) if field.name not in contents.schema.names]
            contents = contents._replace(schema=pa.schema([*contents.schema, *more]))
        return contents


def read(
    file: InputFile, groups: tuple[int, ...] | None, text_column: str, kept: pa.Schema, *, keeps_all: bool = False
) -> Iterator[Rows]:
    """Read rows of a file.

    Args:
        file: The file.
        groups: Row groups or record batches to read, or None for all.
        text_column: Name of the column that holds the texts.
        kept: Columns to keep, with the types to cast them to. Columns that the file does not have are null.
        keeps_all: Whether a column that is not in `kept` is a problem of the rows that have it.

    Yields:
        The rows, in order, in batches of any size.

    Raises:
        UnreadableInput: The file cannot be read, or has no such column of texts.
    """
    if file.format in ("jsonl", "csv"):
        yield from _read_text_file(file, text_column, kept, keeps_all)
        return
    names = list(dict.fromkeys([text_column, *kept.names]))
    batches = _parquet_batches if file.format == "parquet" else _arrow_batches
    constants, text_field = partition_values(file.found_at, kept), pa.field(text_column, pa.large_string())
    with open_input(file) as (_, stream):
        for batch in batches(stream, groups, names):
            problems: dict[int, str] = {}
            texts = cast_column(batch.column(text_column), text_field, problems)
            columns = [
                batch.column(name) if name in batch.schema.names else _constant(constants.get(name), len(texts))
                for name in kept.names
            ]
            arrays = [cast_column(*pair, problems) for pair in zip(columns, kept, strict=True)]
            rows = pa.RecordBatch.from_arrays(arrays, schema=kept)
            yield Rows(rows, texts, problem_column(problems, len(texts)))


def _constant(value: str | None, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def with_late_columns(contents: Contents, names: Sequence[str]) -> Contents:
    """Return the contents of a JSON file with columns that its first rows do not have.

    Args:
        contents: The contents.
        names: Columns to search for in all rows.

    Raises:
        UnreadableInput: The file cannot be read.
    """
    with open_input(contents.file) as (_, stream):
        more = text_columns.infer_columns(stream, names)
    return contents._replace(schema=pa.schema([*contents.schema, *more]))


def rows_per_byte(file: InputFile) -> float:
    """Estimate the rows per byte of a file from its beginning.

    Raises:
        UnreadableInput: The file cannot be read.
    """
    if file.format == "arrow":
        with open_input(file) as (_, stream):
            groups = _inspect_arrow(file, stream).groups
        if groups is not None:
            return sum(groups) / file.size
    with open_input(file) as (raw, stream):
        if file.format == "arrow":
            with _arrow_stream(stream) as reader:
                rows = next((batch.num_rows for batch in reader), 0)
        else:
            sample = itertools.islice(text_columns.read_rows(stream, file.delimiter), _ROWS_TO_ESTIMATE_FROM)
            rows = sum(1 for _ in sample)
        return rows / max(raw.tell(), 1)


def _read_text_file(file: InputFile, text_column: str, kept: pa.Schema, keeps_all: bool) -> Iterator[Rows]:
    schema = inspect(file, text_column, kept.names).schema
    if not schema.names:  # The file is empty.
        return
    constants = partition_values(file.found_at, kept)
    with open_input(file) as (_, stream):
        known = {*schema.names, *kept.names} if keeps_all else None
        for columns in text_columns.read_columns(stream, file.delimiter, text_column, kept, constants, known):
            yield Rows(pa.RecordBatch.from_arrays(columns.kept, schema=kept), columns.texts, columns.problems)


def _inspect_parquet(file: InputFile, stream: BinaryIO) -> Contents:
    if file.compression:
        raise InputError(
            f"Parquet is read from its end, so it must not be compressed with {file.compression}; decompress it first."
        )
    parquet = pq.ParquetFile(stream)
    groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.metadata.num_row_groups)]
    # The last eight bytes are the length of the footer and the magic number.
    stream.seek(-8 - parquet.metadata.serialized_size, 2)
    footer = hashlib.sha256(stream.read()).hexdigest()
    return Contents(dataclasses.replace(file, version=f"{file.version} {footer}"), parquet.schema_arrow, groups)


def _inspect_arrow(file: InputFile, stream: BinaryIO) -> Contents:
    if file.compression or not _is_arrow_file(stream):
        with _arrow_stream(stream) as reader:
            return Contents(file, reader.schema, None)
    with ipc.open_file(stream) as reader:
        # A record batch must be read to find its number of rows. Most writers make batches of equal size.
        rows = reader.get_batch(0).num_rows if reader.num_record_batches else 0
        return Contents(file, reader.schema, [rows] * reader.num_record_batches)


def _parquet_batches(stream: BinaryIO, groups: tuple[int, ...] | None, names: list[str]) -> Iterator[pa.RecordBatch]:
    parquet = pq.ParquetFile(stream, buffer_size=_BUFFER)
    check_columns(parquet.schema_arrow, names[0], names)
    yield from parquet.iter_batches(_ROWS, groups, [name for name in names if name in parquet.schema_arrow.names])


def _arrow_batches(stream: BinaryIO, groups: tuple[int, ...] | None, names: list[str]) -> Iterator[pa.RecordBatch]:
    if groups is None:
        with _arrow_stream(stream) as reader:
            check_columns(reader.schema, names[0], names)
            yield from reader
        return
    with ipc.open_file(stream) as reader:
        check_columns(reader.schema, names[0], names)
        wanted = [reader.schema.get_field_index(name) for name in names if name in reader.schema.names]
    with ipc.open_file(stream, options=ipc.IpcReadOptions(included_fields=wanted)) as reader:
        for group in groups:
            yield reader.get_batch(group)


def _is_arrow_file(stream: BinaryIO) -> bool:
    if isinstance(stream, io.BufferedReader):
        return stream.peek(len(_ARROW_MAGIC)).startswith(_ARROW_MAGIC)
    magic = stream.read(len(_ARROW_MAGIC))
    stream.seek(0)
    return magic == _ARROW_MAGIC


def _arrow_stream(stream: BinaryIO) -> ipc.RecordBatchStreamReader:
    # The Arrow file format is the stream format after its first eight bytes. A compressed file cannot seek, so it is
    # always read as a stream.
    if _is_arrow_file(stream):
        stream.read(8)
    return ipc.open_stream(stream)
