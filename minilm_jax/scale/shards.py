"""A shard: a Parquet file, what it says in `_shards` of where it came from, and in `_rejects` of what it lacks."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from minilm_jax.scale.manifest import Part
from minilm_jax.scale.store import Folder

SIDECARS, REJECTS = "_shards", "_rejects"
# Of a row group: 25 MB of float32 vectors, or what the columns that are kept need with them.
_GROUP_ROWS, _GROUP_BYTES = 16_384, 64 << 20


@dataclasses.dataclass
class Shard:
    """A file of the output.

    Attributes:
        name: Of the file, without its suffix.
        first_row: Place in its part of its first row.
        rows: How many it has.
        nulls: How many of them have no vector, because the text is blank or was rejected.
        rejected: How many rows had a value that could not be taken; `_rejects` says which and why.
        truncated: How many texts were cut at max_seq_length.
        size: Of the file, in bytes.
        sha256: Of the file.
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
    """Writes the rows of a shard that is not there yet."""

    def __init__(self, shard: Shard, part: Part, parquet: pq.ParquetWriter, rejects: list[str]) -> None:
        """Counts in shard, and adds to rejects, what it writes to parquet."""
        self._shard, self._part, self._parquet, self._rejects = shard, part, parquet, rejects
        self._held: list[pa.Table] = []

    def write(self, table: pa.Table, problems: list[tuple[int, str]]) -> None:
        """Appends rows, and what could not be taken of them: places in the part, with the reasons."""
        self._held.append(table)
        if sum(t.num_rows for t in self._held) >= _GROUP_ROWS or sum(t.nbytes for t in self._held) > _GROUP_BYTES:
            self.flush()
        self._shard.rows += table.num_rows
        self._shard.nulls += table.columns[-1].null_count
        self._shard.rejected += len(problems)
        where = {"url": self._part.file.url, "groups": self._part.source["groups"]}
        self._rejects += [json.dumps({**where, "row": row, "reason": reason}) for row, reason in problems]

    def flush(self) -> None:
        """Writes the rows that are held as a row group."""
        if self._held:
            self._parquet.write_table(pa.concat_tables(self._held))
        self._held = []


@contextlib.contextmanager
def new_shard(
    folder: Folder, part: Part, shard: Shard, schema: pa.Schema, settings: Mapping[str, Any]
) -> Iterator[ShardWriter]:
    """Writes a shard, of which nothing stays unless the block ends well.

    The sidecar comes last, so that a shard that has one is whole, and one that has none is made anew.

    Args:
        folder: Where to.
        part: Where the rows are from.
        shard: Its name and first row; its counts grow as it is written.
        schema: Of the file; the last column is that of the vectors.
        settings: What all shards of the folder have in common, for the sidecar.

    Yields:
        What writes the rows.
    """
    rejects: list[str] = []
    with folder.written(f"{shard.name}.parquet") as file:
        digest = _Digest(file)
        with pq.ParquetWriter(digest, schema, compression="zstd", use_dictionary=schema.names[:-1]) as parquet:
            writer = ShardWriter(shard, part, parquet, rejects)
            yield writer
            writer.flush()
        shard.size, shard.sha256 = digest.size, digest.sha256.hexdigest()
        _write_rejects(folder, f"{REJECTS}/{shard.name}.jsonl", rejects)
    folder.write(f"{SIDECARS}/{shard.name}.json", {**dataclasses.asdict(shard), "from": part.source, **settings})


def check_shard(folder: Folder, part: Part, number: int, settings: Mapping[str, Any]) -> Shard | str | None:
    """Looks whether a shard is there as it would be made.

    Returns:
        The shard; or why it must be made anew; or None where there is none.
    """
    name = part.shard_name(number)
    said = folder.read(f"{SIDECARS}/{name}.json")
    if said is None:
        return None
    try:
        fields = {field.name: said[field.name] for field in dataclasses.fields(Shard)}
        if said["from"] != part.source or any(said[key] != value for key, value in settings.items()):
            return f"{name} was made from other rows or otherwise"
        with folder.open(f"{name}.parquet") as file:
            intact = hashlib.file_digest(file, "sha256").hexdigest() == said["sha256"]
        return Shard(**fields) if intact else f"{name}.parquet is not as it was written"
    except FileNotFoundError:
        return f"{name}.parquet is gone"
    except (KeyError, TypeError):
        return f"what {SIDECARS} says of {name} is damaged"


def remove_shard(folder: Folder, name: str) -> None:
    """Removes a shard with all that is said of it, the sidecar last, so that what is left can be told for a shard's."""
    folder.remove(f"{name}.parquet", f"{REJECTS}/{name}.jsonl", f"{SIDECARS}/{name}.json")


def _write_rejects(folder: Folder, name: str, lines: list[str]) -> None:
    if not lines:
        folder.remove(name)
        return
    with folder.written(name) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


class _Digest:
    """A file that knows the sha256 of what was written to it."""

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
        """Leaves the file to whom it belongs."""
