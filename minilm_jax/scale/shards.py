"""Shards: a Parquet file, its sidecar in `_shards`, and the list of rejected values in `_rejects`."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from minilm_jax.scale.manifest import Part
from minilm_jax.scale.store import Store

SIDECARS, REJECTS = "_shards", "_rejects"
# A row group is limited to this many rows (25 MB of float32 vectors), and to this many bytes in the columns that are
# kept.
_GROUP_ROWS, _GROUP_BYTES = 16_384, 64 << 20


@dataclasses.dataclass
class Shard:
    """A file of the output.

    Attributes:
        name: Name of the file, without its suffix.
        first_row: Position of its first row in the part.
        rows: Number of rows.
        nulls: Number of rows without a vector, because the text is blank or was rejected.
        rejected: Number of rows with a value that could not be used; `_rejects` has the reasons.
        truncated: Number of texts that were truncated to max_seq_length.
        size: Size of the file in bytes.
        sha256: Hash of the file.
    """

    name: str
    first_row: int
    rows: int = 0
    nulls: int = 0
    rejected: int = 0
    truncated: int = 0
    size: int = 0
    sha256: str = ""


class ShardWriter:
    """Writer of the rows of a new shard."""

    def __init__(self, shard: Shard, part: Part, parquet: pq.ParquetWriter, rejects: list[str]) -> None:
        """Prepare to write.

        Args:
            shard: Its counts are updated.
            part: Part that the rows belong to.
            parquet: Destination of the rows.
            rejects: One line of JSON is appended for each rejected value.
        """
        self._shard, self._part, self._parquet, self._rejects = shard, part, parquet, rejects
        self._pending: list[pa.Table] = []

    def write(self, table: pa.Table, problems: list[tuple[int, str]]) -> None:
        """Append rows.

        Args:
            table: The rows; the last column holds the vectors.
            problems: Positions in the part, with the reason why a value of the row became null.
        """
        self._pending.append(table)
        if sum(t.num_rows for t in self._pending) >= _GROUP_ROWS or sum(t.nbytes for t in self._pending) > _GROUP_BYTES:
            self.flush()
        self._shard.rows += table.num_rows
        self._shard.nulls += table.columns[-1].null_count
        self._shard.rejected += len(problems)
        where = {"url": self._part.file.url, "groups": self._part.source["groups"]}
        self._rejects += [json.dumps({**where, "row": row, "reason": reason}) for row, reason in problems]

    def flush(self) -> None:
        """Write the pending rows as one row group."""
        if self._pending:
            self._parquet.write_table(pa.concat_tables(self._pending))
        self._pending = []


@contextlib.contextmanager
def new_shard(
    store: Store, part: Part, shard: Shard, schema: pa.Schema, settings: Mapping[str, Any]
) -> Iterator[ShardWriter]:
    """Write a shard; if the block fails, nothing is left of it.

    The sidecar is written last, so a shard with a sidecar is complete, and one without a sidecar is rebuilt.

    Args:
        store: The output folder.
        part: Part that the rows belong to.
        shard: Name and first row of the shard; its counts are updated.
        schema: Schema of the file; the last column holds the vectors.
        settings: Settings that all shards of the folder share, for the sidecar.

    Yields:
        The writer of the rows.
    """
    rejects: list[str] = []
    with store.new_file(f"{shard.name}.parquet") as file:
        hashed = _HashedFile(file)
        schema = schema.remove_metadata()  # It names the inputs, so equal rows would not give equal files.
        with pq.ParquetWriter(hashed, schema, compression="zstd", use_dictionary=schema.names[:-1]) as parquet:
            writer = ShardWriter(shard, part, parquet, rejects)
            yield writer
            writer.flush()
        shard.size, shard.sha256 = hashed.size, hashed.sha256.hexdigest()
        _write_rejects(store, f"{REJECTS}/{shard.name}.jsonl", rejects)
    source = {"from": part.source, "found_at": part.file.found_at}
    store.write_json(f"{SIDECARS}/{shard.name}.json", {**dataclasses.asdict(shard), **source, **settings})


def check_shard(store: Store, part: Part, number: int, settings: Mapping[str, Any]) -> Shard | str | None:
    """Check whether a shard exists and is up to date.

    Args:
        store: The output folder.
        part: Part that the shard belongs to.
        number: Number of the shard in the part.
        settings: Settings that the sidecar must contain.

    Returns:
        The shard if it is up to date, the reason why it must be rebuilt, or None if it does not exist.
    """
    name = part.shard_name(number)
    sidecar = store.read_json(f"{SIDECARS}/{name}.json")
    if sidecar is None:
        return None
    try:
        fields = {field.name: sidecar[field.name] for field in dataclasses.fields(Shard)}
        if sidecar["from"] != part.source or any(sidecar[key] != value for key, value in settings.items()):
            return f"{name} was written from other rows or with other settings"
        with store.open(f"{name}.parquet") as file:
            is_intact = hashlib.file_digest(file, "sha256").hexdigest() == sidecar["sha256"]
        return Shard(**fields) if is_intact else f"{name}.parquet is damaged"
    except FileNotFoundError:
        return f"{name}.parquet is missing"
    except (KeyError, TypeError):
        return f"{SIDECARS}/{name}.json is damaged"


def remove_shard(store: Store, name: str) -> None:
    """Remove the files of a shard; the sidecar goes last, because it marks the others as part of a shard."""
    store.remove(f"{name}.parquet", f"{REJECTS}/{name}.jsonl", f"{SIDECARS}/{name}.json")


def _write_rejects(store: Store, name: str, lines: list[str]) -> None:
    if not lines:
        store.remove(name)
        return
    with store.new_file(name) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


class _HashedFile:
    """A file opened for writing, with the size and sha256 of the written bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.size, self.sha256 = file, 0, hashlib.sha256()

    closed = False

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.sha256.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Do nothing; the owner of the file closes it."""
