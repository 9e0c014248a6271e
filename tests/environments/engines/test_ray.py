"""Ray on a local cluster: the same shards as with one process, even if workers or the run are killed."""

import contextlib
import dataclasses
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from numpy.typing import NDArray

import minilm_jax as mj
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import plan
from minilm_jax.scale.output_folder import prepare_folder
from minilm_jax.scale.ray import _actor_resources, _claim_cores, run
from minilm_jax.scale.run import embed_corpus
from tests.environments.engines.texts import TEXTS, assert_vectors
from tests.helpers.command_line import command
from tests.helpers.numbered_corpus import assert_complete, number_table, read_vectors, save_number_model, write_table

WORKERS = 2


@contextlib.contextmanager
def cluster(**options: Any) -> Iterator[None]:
    ray.init(include_dashboard=False, log_to_driver=False, **options)
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture(scope="module")
def two_cores() -> Iterator[None]:
    with cluster(num_cpus=WORKERS):
        yield


@pytest.fixture
def job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Job:
    """A job over six files of numbers, with one shard each, and a tiny model."""
    caplog.set_level(logging.INFO, "minilm_jax")
    (tmp_path / "in").mkdir()
    for i in range(6):
        write_table(tmp_path / "in" / f"{i}.csv", number_table(range(i * 20_000, (i + 1) * 20_000)))
    return Job(
        (str(tmp_path / "in"),),
        "text",
        str(tmp_path / "out"),
        model=str(save_number_model(tmp_path)),
        shard_rows=20_000,
    )


def ray_command(job: Job) -> list[str]:
    return command(
        "embed-corpus", *job.inputs, "--text-column", "text", "--out", job.out, "--model", job.model,
        "--shard-rows", job.shard_rows, "--engine", "ray", "--workers", WORKERS,
    )  # fmt: skip


def test_ray_command_gives_the_vectors_of_the_encoder(
    tmp_path: Path, expected: list[NDArray[np.float32] | None]
) -> None:
    for i in range(3):
        pq.write_table(pa.table({"id": range(i * 10, i * 10 + 7), "text": TEXTS}), tmp_path / f"{i}.parquet")
    inputs = [tmp_path / f"{i}.parquet" for i in range(3)]
    options = ["--text-column", "text", "--out", "vectors", "--engine", "ray", "--workers", WORKERS]
    for summary in ("21 rows in 3 new shards, 9 rows without", "0 rows in 0 new shards, 21 rows in 3 finished shards"):
        done = subprocess.run(
            command("embed-corpus", *inputs, *options), cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert summary in done.stderr
    vectors = read_vectors(tmp_path / "vectors")
    for i in range(3):
        assert_vectors([vectors[i * 10 + j] for j in range(7)], expected)


def writers(out: Path) -> Iterator[int]:
    """Find the processes that are writing a shard."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            file = link.readlink()
            if file.parent == out / "_minilm_jax_temporary" and file.stat().st_size:
                yield int(link.parts[2])


def kill_writers(out: Path, times: int, killed: list[int], finished: threading.Event) -> None:
    while not finished.is_set():
        for pid in {*writers(out)} - {*killed}:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            if len(killed) == times:
                return
        time.sleep(0.01)


@pytest.mark.usefixtures("two_cores")
def test_parts_of_killed_workers_are_completed_by_others(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    killed: list[int] = []
    finished = threading.Event()
    killer = threading.Thread(target=kill_writers, args=(Path(job.out), 3, killed, finished))
    killer.start()
    try:
        reports = embed_corpus(job, engine="ray", workers=WORKERS)
    finally:
        finished.set()
        killer.join()
    assert len(killed) == 3
    assert os.getpid() not in killed
    assert sorted(report.url[-5:] for report in reports) == [f"{i}.csv" for i in range(6)]
    assert "a worker died and was restarted; its unfinished shards are rebuilt." in caplog.text
    assert "120,000 rows in 6 new shards" in caplog.text
    assert_complete(job, 120_000)


@pytest.mark.usefixtures("two_cores")
def test_each_part_is_reported_when_it_is_finished(job: Job) -> None:
    parts = plan(job)
    with prepare_folder(job, parts):
        reports = run(job, parts, WORKERS)
        first = next(reports)
        assert [shard.rows for shard in first.written] == [20_000]
        assert len(list(Path(job.out, "_shards").iterdir())) < 6
        reports.close()
    embed_corpus(job, engine="ray", workers=WORKERS)
    assert_complete(job, 120_000)


def test_terminated_run_continues_where_it_stopped(job: Job) -> None:
    with subprocess.Popen(ray_command(job), stderr=subprocess.PIPE, text=True) as running:
        try:
            while not (workers := {*writers(Path(job.out))}):
                assert running.poll() is None
                time.sleep(0.01)
            running.send_signal(signal.SIGTERM)
            messages = running.communicate()[1]
        finally:
            running.kill()
    assert running.returncode == 143
    assert messages.endswith("stopped; finished shards are kept, and the same command continues from there.\n")
    assert not [pid for pid in workers if Path(f"/proc/{pid}/exe").exists()]
    embed_corpus(job)
    assert_complete(job, 120_000)


@pytest.mark.usefixtures("two_cores")
def test_errors_of_a_worker_are_raised_unchanged(job: Job) -> None:
    embed_corpus(dataclasses.replace(job, max_seq_length=5))
    with pytest.raises(mj.InputError, match="was started with another --model or --max-seq-length"):
        embed_corpus(job, engine="ray", workers=WORKERS)
    job = dataclasses.replace(job, out=f"{job.out}2")
    parts = plan(job)
    with prepare_folder(job, parts):
        Path(job.out, "_minilm_jax_temporary").rmdir()
        Path(job.out, "_minilm_jax_temporary").touch()
        with pytest.raises(OSError, match="Not a directory"):
            list(run(job, parts, WORKERS))
        assert list(run(job, [], WORKERS)) == []


class Claimant:
    def claim(self, count: int) -> list[int]:
        self._claim = _claim_cores(count)
        return sorted(os.sched_getaffinity(0))


@pytest.mark.usefixtures("two_cores")
def test_workers_claim_different_cores_and_free_them_when_killed() -> None:
    first, second, third = (ray.remote(num_cpus=0)(Claimant).remote() for _ in range(3))
    cores = sorted(os.sched_getaffinity(0))[:2]
    assert [ray.get(actor.claim.remote(1)) for actor in (first, second)] == [cores[:1], cores[1:]]
    ray.kill(first)
    # The kernel frees the claim of the killed worker after a moment; pytest's timeout ends the loop if it does not.
    while ray.get(third.claim.remote(1)) != cores[:1]:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("options", "variable", "resources"),
    [
        ({"num_gpus": 2}, "CUDA_VISIBLE_DEVICES", {"num_gpus": 1}),
        ({"resources": {"TPU": 2}}, "TPU_VISIBLE_CHIPS", {"resources": {"TPU": 1}}),
    ],
)
def test_each_worker_gets_a_separate_device(options: dict[str, Any], variable: str, resources: dict[str, Any]) -> None:
    class Probe:
        def device(self) -> str | None:
            return os.environ.get(variable)

    ray.shutdown()
    with cluster(num_cpus=2, **options):
        assert _actor_resources(2) == resources
        actors = [ray.remote(**resources)(Probe).remote() for _ in range(2)]
        assert sorted(ray.get([actor.device.remote() for actor in actors])) == ["0", "1"]


def test_cores_are_divided_among_the_workers() -> None:
    ray.shutdown()
    with cluster(num_cpus=5):
        assert [_actor_resources(workers)["num_cpus"] for workers in (1, 2, 3, 9)] == [5, 2, 1, 1]
