"""`ShardWorker`: reads, embeds and writes the parts of a corpus one after another."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from minilm_jax.runtime.workers import prefetch
from minilm_jax.scale.chunks import Chunk, regroup
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part
from minilm_jax.scale.model import Model
from minilm_jax.scale.output_folder import FAILED, check_settings, common_settings
from minilm_jax.scale.readers import UnreadableInput, read
from minilm_jax.scale.run_progress import Progress
from minilm_jax.scale.shards import Shard, ShardWriter, check_shard, new_shard
from minilm_jax.scale.store import Store
from minilm_jax.scale.vectors import Vectors, vector_column

# This many chunks are read in advance while one is embedded.
_PREFETCHED_CHUNKS = 2


@dataclasses.dataclass
class PartReport:
    """Result of processing one part.

    Attributes:
        part: Name of the part.
        url: URL of its file.
        written: Shards that were written.
        skipped: Shards that were already up to date.
        notes: Reasons why shards were rebuilt.
        failure: Why the file could not be read completely, or None.
    """

    part: str
    url: str
    written: list[Shard] = dataclasses.field(default_factory=list)
    skipped: list[Shard] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    failure: str | None = None


class ShardWorker:
    """Writer of the shards of parts.

    Any number of workers may write to one folder. Processing a part again skips its finished shards.
    """

    def __init__(self, job: Job, progress: Progress | None = None) -> None:
        """Load the model.

        Args:
            job: Settings of the run; `prepare_folder` was called once for all workers.
            progress: Counter of rows.

        Raises:
            InputError: The shards in the folder are from another model.
            ModelFileError: The model cannot be loaded.
        """
        self._job, self._store, self._progress = job, Store(job.out), progress or Progress()
        self._model = Model(job)
        check_settings(self._store, self._model.settings)

    def __call__(self, part: Part) -> PartReport:
        """Write the shards of a part that are missing or damaged.

        Args:
            part: A part of the manifest.

        Returns:
            The report. If the file cannot be read, its failure is in the report and in the folder `_failed`.

        Raises:
            OSError: A shard could not be written; nothing is left of it.
        """
        report, failed = PartReport(part.name, part.file.url), f"{FAILED}/{part.name}.json"
        try:
            self._process(part, report)
            self._store.remove(failed)
        except UnreadableInput as error:
            report.failure = str(error)
            self._store.write_json(failed, {"from": part.source, "reason": report.failure})
        return report

    def _process(self, part: Part, report: PartReport) -> None:
        if part.failure:
            raise UnreadableInput(part.failure)
        settings = {**common_settings(self._job, [part]), **self._model.settings}
        finished, outdated = self._check_shards(part, settings)
        report.skipped += finished.values()
        if _is_complete(finished, part, self._job.shard_rows):
            self._progress.add(sum(shard.rows for shard in finished.values()), skipped=True)
            return
        keeps_all = self._job.keep is None
        rows = read(part.file, part.groups, self._job.text_column, part.columns, keeps_all=keeps_all)
        chunks = prefetch(regroup(rows, self._job.shard_rows, self._model.text_bytes), _PREFETCHED_CHUNKS)
        with contextlib.closing(chunks):
            for number, chunks_of_shard in itertools.groupby(chunks, key=lambda chunk: chunk.shard):
                if number in finished:
                    for chunk in chunks_of_shard:
                        self._progress.add(len(chunk.texts), skipped=True)
                    continue
                if number in outdated:
                    report.notes.append(f"{outdated[number]}; it is rebuilt.")
                report.written.append(self._write(part, number, chunks_of_shard, settings))
                self._progress.finish_shard()

    def _check_shards(self, part: Part, settings: dict[str, object]) -> tuple[dict[int, Shard], dict[int, str]]:
        """Return the finished shards, and the reasons why others must be rebuilt, by shard number."""
        finished, outdated = {}, {}
        number = 0
        while (shard := check_shard(self._store, part, number, settings)) is not None:
            (outdated if isinstance(shard, str) else finished)[number] = shard
            number += 1
        return finished, outdated

    def _write(self, part: Part, number: int, chunks: Iterable[Chunk], settings: dict[str, object]) -> Shard:
        shard = Shard(part.shard_name(number), number * self._job.shard_rows)
        schema = part.columns.append(pa.field(self._job.vector_column, self._model.type))
        truncated_before = self._model.truncated
        with (
            new_shard(self._store, part, shard, schema, settings) as writer,
            ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-write") as pool,
        ):
            written: Future[None] | None = None
            for chunk in chunks:
                vectors = self._model.embed(chunk.texts)
                if written:
                    written.result()
                written = pool.submit(self._append, writer, schema, chunk, vectors)
                self._progress.add(len(chunk.texts))
            if written:
                written.result()
            shard.truncated = self._model.truncated - truncated_before
        return shard

    def _append(self, writer: ShardWriter, schema: pa.Schema, chunk: Chunk, vectors: Vectors) -> None:
        column = vector_column(vectors, self._job.dtype)
        writer.write(pa.Table.from_arrays([*chunk.kept.columns, column], schema=schema), chunk.problems)


def _is_complete(finished: dict[int, Shard], part: Part, shard_rows: int) -> bool:
    """Return whether these are all shards of a part; if the number of rows is unknown, the last must not be full."""
    last = finished.get(len(finished) - 1)
    return last is not None and (last.rows < shard_rows or last.first_row + last.rows == part.rows)
