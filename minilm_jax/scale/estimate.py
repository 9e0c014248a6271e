"""What a run would do and how long it would take, from the manifest and a short sample of the real texts."""

import collections
import dataclasses
import time
from collections.abc import Sequence

from minilm_jax.scale import manifest
from minilm_jax.scale.chunks import chunks
from minilm_jax.scale.inputs import InputFile
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part, plan
from minilm_jax.scale.model import Model
from minilm_jax.scale.output_folder import agree, common_settings, shared
from minilm_jax.scale.readers import UnreadableInput, read, rows_per_byte
from minilm_jax.scale.shards import SIDECARS
from minilm_jax.scale.store import Folder

# Texts that are embedded to find the rate, from the first, the middle and the last part.
_SAMPLE, _SAMPLE_BYTES = 512, 1 << 20
_PLACES = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a run would do.

    Attributes:
        files: How many inputs there are.
        size: Of all of them, in bytes.
        parts: How many parts they are cut into.
        rows: How many rows they have.
        counted: How many of these are known for certain; the others are estimated from the beginnings of files.
        finished: Rows of shards that are there already.
        shards: How many more shards there would be.
        rows_per_second: Of the sample, on this machine.
        vector_bytes: Of one row.
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

    @property
    def rows_to_do(self) -> int:
        """Rows that are not finished."""
        return max(0, self.rows - self.finished)

    @property
    def seconds(self) -> float:
        """How long they take."""
        return self.rows_to_do / self.rows_per_second


def estimate(job: Job, share: tuple[int, int] = (0, 1)) -> Estimate:
    """Estimates a run; nothing is written.

    Args:
        job: What is wanted.
        share: Which of how many shares.

    Returns:
        What it would do.

    Raises:
        InputError: The job cannot be done as it is.
    """
    whole, job = plan(job), shared(job, *share)
    parts, folder, model = manifest.share(whole, *share), Folder(job.out), Model(job)
    agree(folder, {**common_settings(job, whole), **model.settings}, write=False)
    expected = expected_rows(whole)
    rows = [expected[part.name] for part in parts]
    finished = _finished(folder, parts)
    files = {part.file.url: part.file for part in parts}.values()
    return Estimate(
        files=len(files),
        size=sum(file.size for file in files),
        parts=len(parts),
        rows=sum(rows),
        counted=sum(part.rows or 0 for part in parts),
        finished=sum(finished),
        shards=sum(max(1, -(-count // job.shard_rows)) for count in rows) - len(finished),
        rows_per_second=_rate(job, parts, model),
        vector_bytes=model.type.list_size * model.type.value_type.bit_width // 8,
    )


def expected_rows(parts: Sequence[Part]) -> dict[str, int]:
    """Returns how many rows the parts of a manifest have, by name, where unknown by the largest file of the kind."""
    parts_of = collections.Counter(part.file.url for part in parts)
    unknown = sorted((part.file for part in parts if part.rows is None), key=lambda file: file.size)
    largest = {(file.format, file.compression): file for file in unknown}
    density = {kind: _density(file) for kind, file in largest.items()}

    def expected(part: Part) -> int:
        file = part.file
        return round(density[file.format, file.compression] * file.size / parts_of[file.url])

    return {part.name: expected(part) if part.rows is None else part.rows for part in parts}


def _density(file: InputFile) -> float:
    try:
        return rows_per_byte(file)
    except UnreadableInput:
        return 0.0


def _finished(folder: Folder, parts: Sequence[Part]) -> list[int]:
    """Returns the rows of each shard that is there and up to date."""
    sources = {part.name: part.source for part in parts}
    said = folder.read_all(SIDECARS).items()
    return [s["rows"] for name, s in said if s and s["from"] == sources.get(name.rpartition("-")[0])]


def _rate(job: Job, parts: Sequence[Part], model: Model) -> float:
    """Returns rows a second of a sample, which is embedded twice so that nothing is compiled in what is timed."""
    places = {0, len(parts) // 2, len(parts) - 1} if parts else ()
    texts = [text for place in places for text in _texts(job, parts[place])]
    model.embed(texts)
    started = time.perf_counter()
    model.embed(texts)
    return max(1, len(texts)) / (time.perf_counter() - started)


def _texts(job: Job, part: Part) -> list[str | None]:
    try:
        rows = read(part.file, part.groups, job.text_column, part.columns)
        return next(chunks(rows, _SAMPLE // _PLACES, _SAMPLE_BYTES)).texts
    except (UnreadableInput, StopIteration):
        return []
