"""A whole run: the folder is prepared, an engine makes the shards, and what happened is said."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from minilm_jax import progress
from minilm_jax.config import CorpusEngine
from minilm_jax.errors import InputError
from minilm_jax.scale import manifest
from minilm_jax.scale.estimate import expected_rows
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part, plan
from minilm_jax.scale.output_folder import prepared, shared
from minilm_jax.scale.shards import REJECTS
from minilm_jax.scale.worker import PartReport, ShardWorker

_log = logging.getLogger("minilm_jax")


def embed_corpus(
    job: Job,
    *,
    engine: CorpusEngine = "local",
    workers: int = 1,
    prune: bool = False,
    share: tuple[int, int] = (0, 1),
) -> list[PartReport]:
    """Embeds a corpus into a folder of Parquet shards, or goes on where an earlier run ended.

    Under `jax.distributed` each process makes its share of the parts, and returns what came of these.

    Args:
        job: What is wanted.
        engine: "local" for this process, or "ray" for `minilm_jax.scale.ray.run(job, parts, workers)`, which yields a
            `PartReport` for each part as it is done.
        workers: How many of them Ray starts.
        prune: Whether to remove the shards of inputs that are no longer among the job's.
        share: Which of how many shares to make, from 0. Each has a folder of its own in the job's, such as `3-of-16`,
            so that they need to know nothing of each other.

    Returns:
        What came of every part; a file that could not be read is a failure in it, and no error.

    Raises:
        InputError: The job cannot be done as it is, or another run is at work in the folder.
        OSError: A shard could not be written; the same call goes on from there.
    """
    whole, started = plan(job), time.perf_counter()
    job, parts = shared(job, *share), manifest.share(whole, *share)
    process, processes = _place() if engine == "local" else (0, 1)
    with _folder(job, whole, prune, process, processes), _bar(whole, parts[process::processes]) as advance:
        try:
            reports = [_told(report) for report in _made(job, parts[process::processes], engine, workers, advance)]
        except (KeyboardInterrupt, SystemExit, OSError):
            _log.warning("stopped; what is finished stays, and the same command goes on from there.")
            raise
    seconds = time.perf_counter() - started
    _log.info("%s %.1f s.", summary(reports), seconds)
    return reports


def summary(reports: Sequence[PartReport]) -> str:
    """Returns in one sentence what came of a run."""
    written = [shard for report in reports for shard in report.written]
    skipped = [shard for report in reports for shard in report.skipped]
    text = f"{sum(s.rows for s in written):,} rows in {len(written):,} new shards"
    if skipped:
        text += f", {sum(s.rows for s in skipped):,} rows in {len(skipped):,} shards were there"
    for count, what in (
        (sum(s.nulls for s in written), "rows without a vector"),
        (sum(s.rejected for s in written), f"rows rejected, see {REJECTS}"),
        (sum(s.truncated for s in written), "texts cut at the limit of tokens"),
    ):
        if count:
            text += f", {count:,} {what}"
    return text + "."


def _place() -> tuple[int, int]:
    import jax

    return jax.process_index(), jax.process_count()


@contextlib.contextmanager
def _folder(job: Job, parts: Sequence[Part], prune: bool, process: int, processes: int) -> Iterator[None]:
    """Prepares the folder in one process for all; the others begin after it, and it ends after them."""
    with prepared(job, parts, prune=prune) if process == 0 else contextlib.nullcontext([]) as removed:
        for sentence in removed:
            _log.info(sentence)
        _meet("begin", processes)
        yield
        _meet("end", processes)


def _meet(name: str, processes: int) -> None:
    if processes > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        sync_global_devices(f"embed_corpus {name}")


def _made(
    job: Job, parts: Sequence[Part], engine: CorpusEngine, workers: int, advance: Callable[[int, bool], object]
) -> Iterator[PartReport]:
    if engine == "local":
        yield from map(ShardWorker(job, advance), parts)
        return
    try:
        from minilm_jax.scale.ray import run
    except ImportError as error:
        raise InputError(f"{error}; pip install 'minilm-jax[ray]'") from None
    for report in run(job, parts, workers):
        for shards, skipped in ((report.written, False), (report.skipped, True)):
            advance(sum(shard.rows for shard in shards), skipped)
        yield report


def _told(report: PartReport) -> PartReport:
    for note in report.notes:
        _log.info(note)
    if report.failure:
        _log.warning("%s; the others go on.", report.failure)
    return report


@contextlib.contextmanager
def _bar(whole: Sequence[Part], parts: Sequence[Part]) -> Iterator[Callable[[int, bool], object]]:
    """Shows on a terminal how many rows are done, the speed and the time left, of rows that were not there already."""
    from tqdm import tqdm

    # tqdm's None shows the bar on a terminal only; its speed is that of the rows that are not initial.
    disable = progress.silenced() or None
    expected = {} if disable or not sys.stderr.isatty() else expected_rows(whole)
    total = sum(expected[part.name] for part in parts) if expected else None
    with tqdm(total=total, unit=" rows", unit_scale=True, smoothing=0, disable=disable) as bar:

        def advance(rows: int, skipped: bool) -> None:
            if skipped and not bar.disable:
                bar.initial += rows
            bar.update(rows)

        yield advance
