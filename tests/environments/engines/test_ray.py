"""Ray, on a cluster of this machine alone: the same shards as one process makes, whatever dies on the way."""

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
from minilm_jax.scale.output_folder import prepared
from minilm_jax.scale.ray import _own_cores, _share, run
from minilm_jax.scale.run import embed_corpus
from tests.environments.engines.texts import TEXTS, assert_vectors
from tests.helpers.command_line import command
from tests.helpers.numbered_corpus import check_complete, number_model, numbers, vectors_of, write_rows

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
    """Numbers in six files, of one shard each, embedded by a tiny model."""
    caplog.set_level(logging.INFO, "minilm_jax")
    (tmp_path / "in").mkdir()
    for i in range(6):
        write_rows(tmp_path / "in" / f"{i}.csv", numbers(range(i * 20_000, (i + 1) * 20_000)))
    return Job(
        (str(tmp_path / "in"),), "text", str(tmp_path / "out"), model=str(number_model(tmp_path)), shard_rows=20_000
    )


def process(job: Job) -> list[str]:
    return command(
        "embed-corpus", *job.inputs, "--text-column", "text", "--out", job.out, "--model", job.model,
        "--shard-rows", job.shard_rows, "--engine", "ray", "--workers", WORKERS,
    )  # fmt: skip


def test_the_vectors_are_those_of_the_encoder(tmp_path: Path, expected: list[NDArray[np.float32] | None]) -> None:
    for i in range(3):
        pq.write_table(pa.table({"id": range(i * 10, i * 10 + 7), "text": TEXTS}), tmp_path / f"{i}.parquet")
    inputs = [tmp_path / f"{i}.parquet" for i in range(3)]
    options = ["--text-column", "text", "--out", "vectors", "--engine", "ray", "--workers", WORKERS]
    for said in ("21 rows in 3 new shards, 9 rows without a vector.", "0 rows in 0 new shards, 21 rows in 3 shards "):
        done = subprocess.run(
            command("embed-corpus", *inputs, *options), cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert said in done.stderr
    found = vectors_of(tmp_path / "vectors")
    for i in range(3):
        assert_vectors([found[i * 10 + j] for j in range(7)], expected)


def writers(out: Path) -> Iterator[int]:
    """Finds the processes that have written half of a shard."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            file = link.readlink()
            if file.parent == out / "_minilm_jax_temporary" and file.stat().st_size:
                yield int(link.parts[2])


def kill_writers(out: Path, times: int, killed: list[int]) -> None:
    for _ in range(6_000):
        for pid in {*writers(out)} - {*killed}:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            if len(killed) == times:
                return
        time.sleep(0.01)


@pytest.mark.usefixtures("two_cores")
def test_workers_killed_in_the_middle_of_a_part(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_writers, args=(Path(job.out), 3, killed))
    killer.start()
    reports = embed_corpus(job, engine="ray", workers=WORKERS)
    killer.join()
    assert len(killed) == 3
    assert os.getpid() not in killed
    assert sorted(report.url[-5:] for report in reports) == [f"{i}.csv" for i in range(6)]
    assert "a worker died and was started anew; what it had not finished is made again." in caplog.text
    assert "120,000 rows in 6 new shards" in caplog.text
    check_complete(job, 120_000)


@pytest.mark.usefixtures("two_cores")
def test_parts_are_reported_as_they_are_done(job: Job) -> None:
    parts = plan(job)
    with prepared(job, parts):
        reports = run(job, parts, WORKERS)
        first = next(reports)
        assert [shard.rows for shard in first.written] == [20_000]
        assert len(list(Path(job.out, "_shards").iterdir())) < 6
        reports.close()
    embed_corpus(job, engine="ray", workers=WORKERS)
    check_complete(job, 120_000)


def test_a_run_that_is_ended_goes_on_from_there(job: Job) -> None:
    with subprocess.Popen(process(job), stderr=subprocess.PIPE, text=True) as running:
        try:
            while not (workers := {*writers(Path(job.out))}):
                assert running.poll() is None
                time.sleep(0.01)
            running.send_signal(signal.SIGTERM)
            said = running.communicate(timeout=60)[1]
        finally:
            running.kill()
    assert running.returncode == 143
    assert said.endswith("stopped; what is finished stays, and the same command goes on from there.\n")
    assert not [pid for pid in workers if Path(f"/proc/{pid}/exe").exists()]
    embed_corpus(job)
    check_complete(job, 120_000)


@pytest.mark.usefixtures("two_cores")
def test_errors_are_those_of_the_worker(job: Job) -> None:
    embed_corpus(dataclasses.replace(job, max_seq_length=5))
    with pytest.raises(mj.InputError, match="was begun with another --model, or its --max-seq-length"):
        embed_corpus(job, engine="ray", workers=WORKERS)
    job = dataclasses.replace(job, out=f"{job.out}2")
    parts = plan(job)
    with prepared(job, parts):
        Path(job.out, "_minilm_jax_temporary").rmdir()
        Path(job.out, "_minilm_jax_temporary").touch()
        with pytest.raises(OSError, match="Not a directory"):
            list(run(job, parts, WORKERS))
        assert list(run(job, [], WORKERS)) == []


class Claimant:
    def claim(self, count: int) -> list[int]:
        self._name = _own_cores(count)
        return sorted(os.sched_getaffinity(0))


@pytest.mark.usefixtures("two_cores")
def test_no_two_workers_have_a_core_in_common() -> None:
    first, second, third = (ray.remote(num_cpus=0)(Claimant).remote() for _ in range(3))
    cores = sorted(os.sched_getaffinity(0))[:2]
    assert [ray.get(actor.claim.remote(1)) for actor in (first, second)] == [cores[:1], cores[1:]]
    ray.kill(first)
    for _ in range(100):  # Until the kernel has freed what the killed one had.
        if (taken := ray.get(third.claim.remote(1))) == cores[:1]:
            break
        time.sleep(0.1)
    assert taken == cores[:1]


@pytest.mark.parametrize(
    ("options", "variable", "share"),
    [
        ({"num_gpus": 2}, "CUDA_VISIBLE_DEVICES", {"num_gpus": 1}),
        ({"resources": {"TPU": 2}}, "TPU_VISIBLE_CHIPS", {"resources": {"TPU": 1}}),
    ],
)
def test_each_worker_has_a_device(options: dict[str, Any], variable: str, share: dict[str, Any]) -> None:
    class Probe:
        def device(self) -> str | None:
            return os.environ.get(variable)

    ray.shutdown()
    with cluster(num_cpus=2, **options):
        assert _share(2) == share
        actors = [ray.remote(**share)(Probe).remote() for _ in range(2)]
        assert sorted(ray.get([actor.device.remote() for actor in actors])) == ["0", "1"]


def test_workers_share_the_cores() -> None:
    ray.shutdown()
    with cluster(num_cpus=5):
        assert [_share(workers)["num_cpus"] for workers in (1, 2, 3, 9)] == [5, 2, 1, 1]
