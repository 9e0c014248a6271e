"""The manifest: a corpus cut into parts, the same for the same files, each of which is embedded by itself."""

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
from minilm_jax.scale.inputs import InputFile, find_inputs
from minilm_jax.scale.job import Job
from minilm_jax.scale.readers import Contents, UnreadableInput, check_column, check_text_column, inspect
from minilm_jax.scale.store import shown

# Files that are looked at side by side, as a store far away takes its time for each.
_THREADS = 16
_LONGEST_STEM = 60


@dataclasses.dataclass(frozen=True)
class Part:
    """A file, or some of its row groups.

    Attributes:
        file: Where the rows are.
        number: Which part of the file this is, from 0.
        groups: Its row groups or record batches, or None for the whole file.
        rows: How many rows it has, or None where only reading it would tell.
        columns: Names and types of the columns that are kept.
    """

    file: InputFile
    number: int
    groups: tuple[int, ...] | None
    rows: int | None
    columns: pa.Schema

    @property
    def name(self) -> str:
        """What the names of its shards begin with: the file's own, a hash of its URL, and the number."""
        stem = PurePosixPath(self.file.url).name.partition(".")[0]
        plain = re.sub("[^A-Za-z0-9-]+", "-", stem)[:_LONGEST_STEM].strip("-") or "part"
        return f"{plain}-{hashlib.sha256(self.file.url.encode()).hexdigest()[:10]}-p{self.number:05d}"

    def shard_name(self, number: int) -> str:
        """Returns the name of one of its shards, without a suffix."""
        return f"{self.name}-s{number:05d}"

    @property
    def source(self) -> dict[str, Any]:
        """What a shard's sidecar says of where its rows are from; another run's is the same if nothing changed."""
        groups = None if self.groups is None else list(self.groups)
        return {"url": self.file.url, "size": self.file.size, "version": self.file.version, "groups": groups}


def plan(job: Job) -> tuple[Part, ...]:
    """Finds the inputs and cuts them into parts, in the order of their URLs.

    Args:
        job: What is wanted.

    Returns:
        The parts. A file that cannot be read is one whole part, whose failure is reported when its turn comes.

    Raises:
        InputError: There is no such input or column, or two columns would have one name.
    """
    files = find_inputs(job)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(_inspected, files))
    readable = [contents for contents in found if isinstance(contents, Contents)]
    if not readable:
        raise InputError("; ".join(map(str, found)) or "there is no input but what lies in the output folder.")
    columns = _columns(job, readable)
    return tuple(
        part for file, contents in zip(files, found, strict=True) for part in _parts(file, contents, job, columns)
    )


def share(parts: Sequence[Part], number: int, count: int) -> tuple[Part, ...]:
    """Returns the parts of one of several shares; a part stays in its share when files are added."""
    return tuple(part for part in parts if zlib.crc32(part.name.encode()) % count == number)


def _inspected(file: InputFile) -> Contents | UnreadableInput:
    try:
        return inspect(file)
    except UnreadableInput as error:
        return error


def _columns(job: Job, files: Sequence[Contents]) -> pa.Schema:
    """Returns the columns to keep, of the types that they have in the first file, or the first that has values."""
    first = next((contents for contents in files if contents.schema.names), files[0])
    try:
        check_text_column(job.text_column, first.schema)
        for name in job.keep or ():
            check_column(name, first.schema)
    except InputError as error:
        raise InputError(f"{shown(first.file.url)}: {error}") from None
    names = first.schema.names if job.keep is None else job.keep
    if job.vector_column in names or len({*names}) < len(names):
        twice = job.vector_column if job.vector_column in names else max(names, key=list(names).count)
        raise InputError(f"two columns would be named {twice!r}; choose with --keep, or another --vector-column.")
    columns = pa.schema([_typed(name, files) for name in names])
    try:
        pq.ParquetWriter(pa.BufferOutputStream(), columns).close()
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"Parquet has no such column: {error}; choose others with --keep.") from None
    return columns


def _typed(name: str, files: Sequence[Contents]) -> pa.Field:
    fields = [contents.schema.field(name) for contents in files if name in contents.schema.names]
    typed = next((field for field in fields if not pa.types.is_null(field.type)), fields[0])
    return typed.with_nullable(True)  # What cannot be read becomes null.


def _parts(file: InputFile, contents: Contents | UnreadableInput, job: Job, columns: pa.Schema) -> Iterator[Part]:
    if isinstance(contents, UnreadableInput) or contents.groups is None:
        yield Part(file, 0, None, None, columns)
        return
    known = file.format == "parquet"
    for number, groups in enumerate(_grouped(contents.groups, job.shard_rows)):
        rows = sum(contents.groups[group] for group in groups)
        yield Part(contents.file, number, tuple(groups), rows if known else None, columns)


def _grouped(sizes: list[int], most: int) -> Iterator[list[int]]:
    """Puts row groups together that fit in one shard."""
    together: list[int] = []
    for group, size in enumerate(sizes):
        if together and sum(sizes[other] for other in together) + size > most:
            yield together
            together = []
        together.append(group)
    if together:
        yield together
