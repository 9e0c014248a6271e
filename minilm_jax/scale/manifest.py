"""The manifest: a deterministic split of a corpus into parts that are embedded independently."""

import dataclasses
import functools
import hashlib
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from minilm_jax.errors import InputError
from minilm_jax.scale.column_checks import check_column
from minilm_jax.scale.column_types import kept_field, types_in_files
from minilm_jax.scale.inputs import InputFile, find_inputs
from minilm_jax.scale.job import Job
from minilm_jax.scale.readers import Contents, UnreadableInput, inspect, with_late_columns

# This many files are inspected concurrently, because remote filesystems have a high latency.
_THREADS = 16
_MAX_STEM_CHARACTERS = 60
_MAX_LISTED_FILES = 3

_log = logging.getLogger("minilm_jax")


@dataclasses.dataclass(frozen=True)
class Part:
    """A file, or some of its row groups.

    Attributes:
        file: The file that holds the rows.
        number: Number of the part within the file, from 0.
        groups: Row groups or record batches of the part, or None for the whole file.
        rows: Number of rows, or None if the file would have to be read to count them.
        columns: Names and types of the columns that are kept.
        failure: Why the file cannot be embedded, or None; a file with a failure is one part.
    """

    file: InputFile
    number: int
    groups: tuple[int, ...] | None
    rows: int | None
    columns: pa.Schema
    failure: str | None = None

    @property
    def name(self) -> str:
        """Prefix of the names of its shards: the file name, a hash of the URL, and the number of the part."""
        stem = PurePosixPath(self.file.found_at).name.partition(".")[0]
        plain = re.sub("[^A-Za-z0-9-]+", "-", stem)[:_MAX_STEM_CHARACTERS].strip("-") or "part"
        digest = hashlib.sha256(self.file.url.encode(errors="surrogateescape")).hexdigest()
        return f"{plain}-{digest[:10]}-p{self.number:05d}"

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
        The parts. A file that cannot be read, or has no column of texts, becomes one part with its failure.

    Raises:
        InputError: An input does not exist, no file has one of the columns, or two output columns would have the same
            name.
    """
    files = find_inputs(job)
    with ThreadPoolExecutor(_THREADS) as pool:
        inspected = list(pool.map(functools.partial(_inspect_or_error, job), files))
    failures = [error for error in inspected if isinstance(error, UnreadableInput)]
    readable = [contents for contents in inspected if isinstance(contents, Contents)]
    if not any(contents.schema.names for contents in readable):
        reasons = _listed([str(failure).removesuffix(".") for failure in failures], "; ")
        raise InputError(reasons or "all inputs are empty or in the output folder; pass other inputs.")
    columns = _kept_columns(job, readable)
    return tuple(
        part for file, contents in zip(files, inspected, strict=True) for part in _split(file, contents, job, columns)
    )


def parts_of_share(parts: Sequence[Part], number: int, count: int) -> tuple[Part, ...]:
    """Return the parts of one of several shares; adding files does not move a part to another share."""
    return tuple(part for part in parts if zlib.crc32(part.name.encode()) % count == number)


def _inspect_or_error(job: Job, file: InputFile) -> Contents | UnreadableInput:
    try:
        return inspect(file, job.text_column, job.keep)
    except UnreadableInput as error:
        return error


def _listed(items: Sequence[str], separator: str = ", ") -> str:
    more = len(items) - _MAX_LISTED_FILES
    return separator.join(items[:_MAX_LISTED_FILES]) + (f" and {more:,} more files" if more > 0 else "")


def _kept_columns(job: Job, files: Sequence[Contents]) -> pa.Schema:
    """Return the columns to keep; the metadata of the schema states their types in the files."""
    files = _search_late_columns(job, [contents for contents in files if contents.schema.names])  # Others are empty.
    names = _all_names(files) if job.keep is None else job.keep
    _check_presence(names, files)
    if job.vector_column in names or len({*names}) < len(names):
        duplicate = job.vector_column if job.vector_column in names else max(names, key=list(names).count)
        raise InputError(
            f"two columns would be named {duplicate!r}; choose the columns with --keep, or another --vector-column."
        )
    origins = {name: types_in_files(name, files) for name in names}
    columns = pa.schema([kept_field(name, files) for name in names], {n: ", ".join(origins[n]) for n in names})
    # pyarrow has no list of the types that Parquet supports. It raises this error when it opens a file for other types,
    # so an empty file in memory shows, before any text is embedded, whether the columns can be stored.
    try:
        pq.ParquetWriter(pa.BufferOutputStream(), columns).close()
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"Parquet does not support a column: {error}; choose other columns with --keep.") from None
    for name in names:
        if len(origins[name]) > 1:
            _log.info("column %r is %s; it is stored as %s.", name, ", ".join(origins[name]), columns.field(name).type)
    return columns


def _search_late_columns(job: Job, files: list[Contents]) -> list[Contents]:
    """Search all rows of JSON files for the columns of --keep that no file has in its first rows."""
    late = [name for name in job.keep or () if name not in _all_names(files)]
    return [
        with_late_columns(contents, late) if late and contents.file.format == "jsonl" else contents
        for contents in files
    ]


def _all_names(files: Sequence[Contents]) -> list[str]:
    return list(dict.fromkeys(name for contents in files for name in contents.schema.names))


def _check_presence(names: Sequence[str], files: Sequence[Contents]) -> None:
    """Raise an error if no file has one of the columns, and log a warning for files that lack some."""
    lacking: dict[str, list[str]] = {}
    for name in names:
        without = [contents.file for contents in files if name not in contents.schema.names]
        if len(without) == len(files):
            check_column(name, _all_names(files))
        # Objects in JSON lines may omit keys.
        if listed := _listed([str(file) for file in without if file.format != "jsonl"]):
            lacking.setdefault(listed, []).append(repr(name))
    for listed, missing in lacking.items():
        _log.warning("%s: no column %s; its values become null.", listed, " or ".join(missing))


def _split(file: InputFile, contents: Contents | UnreadableInput, job: Job, columns: pa.Schema) -> Iterator[Part]:
    if isinstance(contents, UnreadableInput):
        yield Part(file, 0, None, 0, columns, str(contents))
        return
    if contents.groups is None:
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
