"""A whole run: prepares the output folder, lets an engine write the shards, and logs the results."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence

import jax
from jax.experimental.multihost_utils import sync_global_devices

from minilm_jax.config import CorpusEngine
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part, parts_of_share, plan
from minilm_jax.scale.output_folder import job_of_share, prepare_folder
from minilm_jax.scale.run_progress import Progress, show_progress
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
    """Embed a corpus into a folder of Parquet shards, or continue an earlier run.

    Under `jax.distributed`, each process handles some of the parts and returns their reports.

    Args:
        job: Settings of the run.
        engine: "local" for this process, or "ray" for `minilm_jax.scale.ray.run`.
        workers: Number of Ray workers.
        prune: Whether to remove the shards of inputs that are not given any more.
        share: Number of the share to process, from 0, and number of shares. Each share has its own subfolder of the
            output folder, such as `3-of-16`, so shares can run independently.

    Returns:
        One report per part. A file that cannot be read is recorded in its report, and does not raise an error.

    Raises:
        InputError: The job cannot run with these settings, or another run is using the folder.
        OSError: A shard could not be written; the same call continues the run.
    """
    all_parts, started = plan(job), time.perf_counter()
    job, parts = job_of_share(job, *share), parts_of_share(all_parts, *share)
    process, processes = (jax.process_index(), jax.process_count()) if engine == "local" else (0, 1)
    parts = parts[process::processes]
    failures = set[str]()
    for part in parts:
        _log_failure(part.failure, failures)
    with _prepared(job, all_parts, prune, process, processes), show_progress(all_parts, parts) as progress:
        try:
            reports = [_log_report(each, failures) for each in _process_parts(job, parts, engine, workers, progress)]
        except (KeyboardInterrupt, SystemExit, OSError):
            _log.warning("stopped; finished shards are kept, and the same command continues from there.")
            raise
    seconds = time.perf_counter() - started
    _log.info("%s %.1f s.", summary(reports), seconds)
    return reports


def summary(reports: Sequence[PartReport]) -> str:
    """Return the result of a run as one sentence."""
    written = [shard for report in reports for shard in report.written]
    skipped = [shard for report in reports for shard in report.skipped]
    text = f"{sum(s.rows for s in written):,} rows in {len(written):,} new shards"
    if skipped:
        text += f", {sum(s.rows for s in skipped):,} rows in {len(skipped):,} finished shards skipped"
    for count, description in (
        (sum(s.nulls for s in written), "rows without a vector"),
        (sum(s.rejected for s in written), f"rows rejected (see {REJECTS})"),
        (sum(s.truncated for s in written), "texts truncated to the maximum length"),
    ):
        if count:
            text += f", {count:,} {description}"
    return text + "."


@contextlib.contextmanager
def _prepared(job: Job, parts: Sequence[Part], prune: bool, process: int, processes: int) -> Iterator[None]:
    """Prepare the folder in the first process; the others start after it, and it cleans up after them."""
    with prepare_folder(job, parts, prune=prune) if process == 0 else contextlib.nullcontext([]) as removed:
        for sentence in removed:
            _log.info(sentence)
        _wait_for_all("start", processes)
        yield
        _wait_for_all("end", processes)


def _wait_for_all(name: str, processes: int) -> None:
    if processes > 1:
        sync_global_devices(f"embed_corpus {name}")


def _process_parts(
    job: Job, parts: Sequence[Part], engine: CorpusEngine, workers: int, progress: Progress
) -> Iterator[PartReport]:
    if engine == "local":
        yield from map(ShardWorker(job, progress), parts)
        return
    from minilm_jax.scale.ray import run  # Ray is an optional package.

    for report in run(job, parts, workers):
        if report.written:
            progress.add(sum(shard.rows for shard in report.written))
            progress.finish_shard()
        progress.add(sum(shard.rows for shard in report.skipped), skipped=True)
        yield report


def _log_report(report: PartReport, failures: set[str]) -> PartReport:
    for note in report.notes:
        _log.info(note)
    _log_failure(report.failure, failures)
    return report


def _log_failure(failure: str | None, logged: set[str]) -> None:
    """Log a failure, unless it was logged before the run or for another part of the file."""
    if failure and failure not in logged:
        logged.add(failure)
        end = "" if failure.endswith((".", "?")) else "."
        _log.warning("%s%s The other files are processed.", failure, end)
