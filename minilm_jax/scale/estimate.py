"""An estimate of the output and the time of a run, from the manifest and a short sample of the texts."""

import collections
import dataclasses
import time
from collections.abc import Sequence

from minilm_jax.scale.chunks import regroup
from minilm_jax.scale.inputs import InputFile
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part, parts_of_share, plan
from minilm_jax.scale.model import Model
from minilm_jax.scale.output_folder import check_settings, common_settings, job_of_share
from minilm_jax.scale.readers import UnreadableInput, read, rows_per_byte
from minilm_jax.scale.shards import SIDECARS
from minilm_jax.scale.store import Store

# The rate is measured on this many texts, from the beginning, the middle and the end.
_SAMPLE_TEXTS, _SAMPLE_BYTES = 512, 1 << 20
_SAMPLED_PARTS = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Size and time of a run.

    Attributes:
        files: Number of input files.
        size: Size of all input files, in bytes.
        parts: Number of parts.
        rows: Number of rows.
        counted: Rows whose number is exact; the others are estimated from the beginnings of files.
        finished: Rows in shards that are up to date.
        shards: Number of shards that are missing.
        rows_per_second: Rate on this machine, measured on the sample.
        vector_bytes: Bytes of one stored vector.
        failures: Why files cannot be embedded, one message per file.
    """

    files: int
    size: int
    parts: int
    rows: int
    counted: int
    finished: int
    shards: int
    rows_per_second: float
    vector_bytes: int
    failures: list[str]

    @property
    def rows_to_do(self) -> int:
        """Number of rows that are not finished."""
        return max(0, self.rows - self.finished)

    @property
    def seconds(self) -> float:
        """Time for the unfinished rows, in seconds."""
        return self.rows_to_do / self.rows_per_second


def estimate(job: Job, share: tuple[int, int] = (0, 1)) -> Estimate:
    """Estimate a run without writing anything.

    Args:
        job: Settings of the run.
        share: Number of the share, from 0, and number of shares.

    Returns:
        The estimate.

    Raises:
        InputError: The job cannot run with these settings.
    """
    all_parts, job = plan(job), job_of_share(job, *share)
    parts, store, model = parts_of_share(all_parts, *share), Store(job.out), Model(job)
    columns = all_parts[0].columns if all_parts else None
    check_settings(store, {**common_settings(job, all_parts), **model.settings}, columns, write=False)
    failures = [part.failure for part in parts if part.failure]
    parts = [part for part in parts if not part.failure]
    expected = expected_rows(all_parts)
    rows = [expected[part.name] for part in parts]
    finished = _finished_rows(store, parts)
    files = {part.file.url: part.file for part in parts}.values()
    return Estimate(
        files=len(files),
        size=sum(file.size for file in files),
        parts=len(parts),
        rows=sum(rows),
        counted=sum(part.rows or 0 for part in parts),
        finished=sum(finished),
        shards=sum(max(1, -(-count // job.shard_rows)) for count in rows) - len(finished),
        rows_per_second=_measure_rate(job, parts, model),
        vector_bytes=model.type.list_size * model.type.value_type.bit_width // 8,
        failures=failures,
    )


def expected_rows(parts: Sequence[Part]) -> dict[str, int]:
    """Return the number of rows of all parts of a manifest, by name.

    Unknown numbers are estimated from the largest file of the same format and compression.
    """
    parts_per_file = collections.Counter(part.file.url for part in parts)
    unknown = sorted((part.file for part in parts if part.rows is None), key=lambda file: file.size)
    largest = {(file.format, file.compression): file for file in unknown}
    density = {kind: _density(file) for kind, file in largest.items()}

    def expected(part: Part) -> int:
        file = part.file
        return round(density[file.format, file.compression] * file.size / parts_per_file[file.url])

    return {part.name: expected(part) if part.rows is None else part.rows for part in parts}


def _density(file: InputFile) -> float:
    try:
        return rows_per_byte(file)
    except UnreadableInput:
        return 0.0


def _finished_rows(store: Store, parts: Sequence[Part]) -> list[int]:
    """Return the number of rows of each shard that is up to date."""
    sources = {part.name: part.source for part in parts}
    sidecars = store.read_all_json(SIDECARS).items()
    return [s["rows"] for name, s in sidecars if s and s["from"] == sources.get(name.rpartition("-")[0])]


def _measure_rate(job: Job, parts: Sequence[Part], model: Model) -> float:
    """Return rows per second of a sample; it is embedded twice so that the measurement excludes compilation."""
    sampled = {0, len(parts) // 2, len(parts) - 1} if parts else ()
    texts = [text for i in sampled for text in _sample_texts(job, parts[i])]
    model.embed(texts)
    started = time.perf_counter()
    model.embed(texts)
    return max(1, len(texts)) / (time.perf_counter() - started)


def _sample_texts(job: Job, part: Part) -> list[str | None]:
    try:
        rows = read(part.file, part.groups, job.text_column, part.columns)
        return next(regroup(rows, _SAMPLE_TEXTS // _SAMPLED_PARTS, _SAMPLE_BYTES)).texts
    except (UnreadableInput, StopIteration):
        return []
