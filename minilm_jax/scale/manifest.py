"""The manifest: a deterministic split of a corpus into parts that are embedded independently."""

import dataclasses
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from minilm_jax.errors import InputError
from minilm_jax.scale.column_checks import check_columns
from minilm_jax.scale.inputs import InputFile, find_inputs
from minilm_jax.scale.job import Job
from minilm_jax.scale.readers import Contents, UnreadableInput, inspect
from minilm_jax.scale.store import display_url

# This many files are inspected concurrently, because remote filesystems have a high latency.
_THREADS = 16
_MAX_STEM_CHARACTERS = 60


@dataclasses.dataclass(frozen=True)
class Part:
    """A file, or some of its row groups.

    Attributes:
        file: The file that holds the rows.
        number: Number of the part within the file, from 0.
        groups: Row groups or record batches of the part, or None for the whole file.
        rows: Number of rows, or None if the file would have to be read to count them.
        columns: Names and types of the columns that are kept.
    """

    file: InputFile
    number: int
    groups: tuple[int, ...] | None
    rows: int | None
    columns: pa.Schema

    @property
    def name(self) -> str:
        """Prefix of the names of its shards: the file name, a hash of the URL, and the number of the part."""
        stem = PurePosixPath(self.file.url).name.partition(".")[0]
        plain = re.sub("[^A-Za-z0-9-]+", "-", stem)[:_MAX_STEM_CHARACTERS].strip("-") or "part"
        return f"{plain}-{hashlib.sha256(self.file.url.encode()).hexdigest()[:10]}-p{self.number:05d}"

    def shard_name(self, number: int) -> str:
        """Return the name of one shard of this part, without the suffix."""
        return f"{self.name}-s{number:05d}"

    @property
    def source(self) -> dict[str, Any]:
        """Source of the rows, as recorded in sidecars; equal between runs unless the input changed."""
        groups = None if self.groups is None else list(self.groups)
        return {"url": self.file.url, "size": self.file.size, "version": self.file.version, "groups": groups}


def plan(job: Job) -> tuple[Part, ...]:
    """Find the inputs and split them into parts, sorted by URL.

    Args:
        job: Settings of the run.

    Returns:
        The parts. A file that cannot be read becomes one part, and its failure is reported when it is processed.

    Raises:
        InputError: An input or column does not exist, or two output columns would have the same name.
    """
    files = find_inputs(job)
    with ThreadPoolExecutor(_THREADS) as pool:
        inspected = list(pool.map(_inspect_or_error, files))
    readable = [contents for contents in inspected if isinstance(contents, Contents)]
    if not readable:
        raise InputError("; ".join(map(str, inspected)) or "all inputs are in the output folder; pass other inputs.")
    columns = _kept_columns(job, readable)
    return tuple(
        part for file, contents in zip(files, inspected, strict=True) for part in _split(file, contents, job, columns)
    )


def parts_of_share(parts: Sequence[Part], number: int, count: int) -> tuple[Part, ...]:
    """Return the parts of one of several shares; adding files does not move a part to another share."""
    return tuple(part for part in parts if zlib.crc32(part.name.encode()) % count == number)


def _inspect_or_error(file: InputFile) -> Contents | UnreadableInput:
    try:
        return inspect(file)
    except UnreadableInput as error:
        return error


def _kept_columns(job: Job, files: Sequence[Contents]) -> pa.Schema:
    """Return the columns to keep, with their types in the first file that has values for them."""
    first = next((contents for contents in files if contents.schema.names), files[0])
    try:
        check_columns(first.schema, job.text_column, *(job.keep or ()))
    except InputError as error:
        raise InputError(f"{display_url(first.file.url)}: {error}") from None
    names = first.schema.names if job.keep is None else job.keep
    if job.vector_column in names or len({*names}) < len(names):
        duplicate = job.vector_column if job.vector_column in names else max(names, key=list(names).count)
        raise InputError(
            f"two columns would be named {duplicate!r}; choose the columns with --keep, or another --vector-column."
        )
    columns = pa.schema([_kept_field(name, files) for name in names])
    try:
        pq.ParquetWriter(pa.BufferOutputStream(), columns).close()
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"Parquet does not support a column: {error}; choose other columns with --keep.") from None
    return columns


def _kept_field(name: str, files: Sequence[Contents]) -> pa.Field:
    fields = [contents.schema.field(name) for contents in files if name in contents.schema.names]
    typed = next((field for field in fields if not pa.types.is_null(field.type)), fields[0])
    return typed.with_nullable(True)  # Values that cannot be read become null.


def _split(file: InputFile, contents: Contents | UnreadableInput, job: Job, columns: pa.Schema) -> Iterator[Part]:
    if isinstance(contents, UnreadableInput) or contents.groups is None:
        yield Part(file, 0, None, None, columns)
        return
    is_exact = file.format == "parquet"
    for number, groups in enumerate(_combine_groups(contents.groups, job.shard_rows)):
        rows = sum(contents.groups[group] for group in groups)
        yield Part(contents.file, number, tuple(groups), rows if is_exact else None, columns)


def _combine_groups(sizes: list[int], max_rows: int) -> Iterator[list[int]]:
    """Combine consecutive row groups that fit in one shard."""
    combined: list[int] = []
    for group, size in enumerate(sizes):
        if combined and sum(sizes[other] for other in combined) + size > max_rows:
            yield combined
            combined = []
        combined.append(group)
    if combined:
        yield combined
