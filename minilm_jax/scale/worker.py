"""`ShardWorker`: reads, embeds and writes one part of a corpus after the other."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from minilm_jax.runtime.workers import prefetch
from minilm_jax.scale.chunks import Chunk, chunks
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part
from minilm_jax.scale.model import Model
from minilm_jax.scale.output_folder import FAILED, agree, common_settings
from minilm_jax.scale.readers import UnreadableInput, read
from minilm_jax.scale.shards import Shard, ShardWriter, check_shard, new_shard
from minilm_jax.scale.store import Folder
from minilm_jax.scale.vectors import Vectors, vector_column

# Chunks that are read while one is embedded.
_AHEAD = 2


@dataclasses.dataclass
class PartReport:
    """What came of one part.

    Attributes:
        part: Its name.
        url: Of its file.
        written: The shards that were made.
        skipped: The shards that were there already, and are intact.
        notes: Why shards were made anew.
        failure: Why the file could not be read to its end, or None.
    """

    part: str
    url: str
    written: list[Shard] = dataclasses.field(default_factory=list)
    skipped: list[Shard] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    failure: str | None = None


class ShardWorker:
    """Makes the shards of parts; any number of workers may share a folder, and a part that comes again is skipped."""

    def __init__(self, job: Job, progress: Callable[[int, bool], object] = lambda rows, skipped: None) -> None:
        """Loads the model.

        Args:
            job: What is wanted; its folder is `prepared`, once for all workers.
            progress: Called with the rows that were embedded, or skipped, since the last call.

        Raises:
            InputError: The folder's shards are from another model.
            ModelFileError: The model cannot be loaded.
        """
        self._job, self._folder, self._progress = job, Folder(job.out), progress
        self._model = Model(job)
        agree(self._folder, self._model.settings)

    def __call__(self, part: Part) -> PartReport:
        """Makes those shards of a part that are missing or damaged.

        Args:
            part: One of the manifest's.

        Returns:
            What was done; a file that cannot be read is a failure in it, which `_failed` records too.

        Raises:
            OSError: A shard could not be written; nothing of it stays.
        """
        report, failed = PartReport(part.name, part.file.url), f"{FAILED}/{part.name}.json"
        try:
            self._make(part, report)
            self._folder.remove(failed)
        except UnreadableInput as error:
            report.failure = str(error)
            self._folder.write(failed, {"from": part.source, "reason": report.failure})
        return report

    def _make(self, part: Part, report: PartReport) -> None:
        settings = {**common_settings(self._job, [part]), **self._model.settings}
        found, redo = self._found(part, settings)
        report.skipped += found.values()
        if _is_complete(found, part, self._job.shard_rows):
            self._progress(sum(shard.rows for shard in found.values()), True)
            return
        rows = read(part.file, part.groups, self._job.text_column, part.columns)
        with contextlib.closing(prefetch(chunks(rows, self._job.shard_rows, self._model.text_bytes), _AHEAD)) as source:
            for number, of_shard in itertools.groupby(source, key=lambda chunk: chunk.shard):
                if number in found:
                    for chunk in of_shard:
                        self._progress(len(chunk.texts), True)
                    continue
                report.notes += [f"{redo[number]}; it is made anew."] if number in redo else []
                report.written.append(self._write(part, number, of_shard, settings))

    def _found(self, part: Part, settings: dict[str, object]) -> tuple[dict[int, Shard], dict[int, str]]:
        """Returns the shards that are there, and why others must be made anew, by their numbers."""
        found, redo = {}, {}
        number = 0
        while (shard := check_shard(self._folder, part, number, settings)) is not None:
            (redo if isinstance(shard, str) else found)[number] = shard
            number += 1
        return found, redo

    def _write(self, part: Part, number: int, source: Iterable[Chunk], settings: dict[str, object]) -> Shard:
        shard = Shard(part.shard_name(number), number * self._job.shard_rows)
        schema = part.columns.append(pa.field(self._job.vector_column, self._model.type))
        cut = self._model.truncated
        with (
            new_shard(self._folder, part, shard, schema, settings) as writer,
            ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-write") as pool,
        ):
            written: Future[None] | None = None
            for chunk in source:
                vectors = self._model.embed(chunk.texts)
                if written:
                    written.result()
                written = pool.submit(self._append, writer, schema, chunk, vectors)
                self._progress(len(chunk.texts), False)
            if written:
                written.result()
            shard.truncated = self._model.truncated - cut
        return shard

    def _append(self, writer: ShardWriter, schema: pa.Schema, chunk: Chunk, vectors: Vectors) -> None:
        column = vector_column(vectors, self._job.dtype)
        writer.write(pa.Table.from_arrays([*chunk.kept.columns, column], schema=schema), chunk.problems)


def _is_complete(found: dict[int, Shard], part: Part, shard_rows: int) -> bool:
    """Whether these are all shards of a part; where its rows are not known, only one that is not full is the last."""
    last = found.get(len(found) - 1)
    return last is not None and (last.rows < shard_rows or last.first_row + last.rows == part.rows)
