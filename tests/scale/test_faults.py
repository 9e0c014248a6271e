"""Whatever goes wrong, in the end every row is there once, with its vector, and the log says what happened."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minilm_jax.errors import InputError
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import check_complete, fill, numbers, vectors_of


def write(job: Job, name: str, first: int, stop: int) -> Path:
    return fill(job, name, numbers(range(first, stop)))


# The command, with so slow a model that a shard takes longer than it takes to be seen.
_COMMAND = """
import time
from minilm_jax.cli import main
from minilm_jax.scale.model import Model
embed = Model.embed
Model.embed = lambda self, texts: (time.sleep(0.2), embed(self, texts))[1]
main()
"""


def process(job: Job) -> list[str]:
    return [
        sys.executable, "-c", _COMMAND, "embed-corpus", *job.inputs, "--text-column", "text", "--out", job.out,
        "--model", job.model, "--shard-rows", str(job.shard_rows),
    ]  # fmt: skip


def stop_in_the_middle_of_a_shard(running: "subprocess.Popen[str]", out: Path, finished: int) -> None:
    """Stops a process where a shard is being written, and more than so many are finished."""
    for _ in range(6_000):
        if len(list(out.glob("_shards/*"))) > finished:
            running.send_signal(signal.SIGSTOP)
            if any(out.glob("_minilm_jax_temporary/*.parquet.*")):
                return
            running.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    pytest.fail("no shard was begun in a minute")


def test_killed_in_the_middle_of_a_shard_again_and_again(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    count, out = 60_000, Path(job.out)
    job = dataclasses.replace(job, shard_rows=6_000)
    write(job, "in.csv", 0, count)
    endings = [(signal.SIGKILL, -9), (signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
    for number, code in endings:
        finished = len(list(out.glob("_shards/*")))
        with subprocess.Popen(process(job), stderr=subprocess.PIPE, text=True) as running:
            try:
                stop_in_the_middle_of_a_shard(running, out, finished)
                with pytest.raises(InputError, match=r"another run is writing to .*; wait for it, or choose another"):
                    embed_corpus(job)
                running.send_signal(number)
                running.send_signal(signal.SIGCONT)
                said = running.communicate(timeout=60)[1]
            finally:
                running.kill()
        assert running.returncode == code
        killed = number == signal.SIGKILL
        assert len(list(out.glob("_minilm_jax_temporary/*"))) == killed
        assert killed or said.endswith("stopped; what is finished stays, and the same command goes on from there.\n")
    finished = len(list(out.glob("_shards/*")))
    assert 4 <= finished < 10
    embed_corpus(job)
    assert f"{count - finished * 6_000:,} rows in {10 - finished} new shards" in caplog.text
    check_complete(job, count)


def test_a_full_disk_ends_the_run_and_a_rerun_goes_on(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    write(job, "a.parquet", 0, 100)
    write(job, "b.csv", 100, 1_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, limits[1]))  # Of 300 vectors, which take 28,800 bytes.
    try:
        with pytest.raises(OSError, match="File too large"):
            embed_corpus(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "stopped; what is finished stays, and the same command goes on from there." in caplog.text
    assert not (Path(job.out) / "_minilm_jax_temporary").exists()
    assert sorted(vectors_of(Path(job.out))) == list(range(100))
    embed_corpus(job)
    assert "900 rows in 3 new shards, 100 rows in 1 shards were there" in caplog.text
    check_complete(job, 1_000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])


@pytest.mark.parametrize("name", ["b.parquet", "b.arrow", "b.arrows", "b.csv.gz", "b.jsonl.zst"])
def test_a_corrupt_file_among_good_ones(job: Job, caplog: pytest.LogCaptureFixture, name: str) -> None:
    write(job, "a.parquet", 0, 500)
    corrupt = write(job, name, 500, 10_000)
    write(job, "c.parquet", 10_000, 10_500)
    whole = corrupt.read_bytes()
    cut(corrupt)
    for _ in range(2):  # A rerun tries it again.
        caplog.clear()
        (failed,) = [report for report in embed_corpus(job) if report.failure]
        assert f"{corrupt} cannot be read" in caplog.text
        (record,) = Path(job.out, "_failed").iterdir()
        assert failed.failure
        assert failed.failure in record.read_text()
        found = sorted(vectors_of(Path(job.out)))
        assert {*range(500), *range(10_000, 10_500)} <= {*found}
    corrupt.write_bytes(whole)
    embed_corpus(job)
    assert os.listdir(Path(job.out, "_failed")) == []
    check_complete(job, 10_500)


def test_the_command_ends_with_1_and_names_what_is_corrupt(job: Job) -> None:
    write(job, "a.csv.gz", 0, 10)
    cut(write(job, "b.csv.gz", 10, 2_000))
    done = subprocess.run(process(job), capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{job.inputs[0]}/b.csv.gz cannot be read: " in done.stderr
    assert "error: 1 inputs could not be read to their end; all else is done. Mend them and run" in done.stderr


@pytest.mark.parametrize("damage", [cut, Path.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_a_damaged_shard_is_made_anew(job: Job, caplog: pytest.LogCaptureFixture, damage) -> None:
    write(job, "in.csv", 0, 1_000)
    embed_corpus(job)
    shard = sorted(Path(job.out).glob("*.parquet"))[1]
    damage(shard)
    embed_corpus(job)
    assert f"{shard.name} is " in caplog.text
    assert "; it is made anew." in caplog.text
    assert "300 rows in 1 new shards, 700 rows in 3 shards were there" in caplog.text
    check_complete(job, 1_000)


@pytest.mark.parametrize("damage", [Path.unlink, cut, lambda path: path.write_text("{}")])
def test_a_shard_without_its_sidecar_is_made_anew(job: Job, caplog: pytest.LogCaptureFixture, damage) -> None:
    write(job, "in.csv", 0, 1_000)
    embed_corpus(job)
    damage(sorted(Path(job.out, "_shards").iterdir())[3])
    embed_corpus(job)
    assert "100 rows in 1 new shards, 900 rows in 3 shards were there" in caplog.text
    check_complete(job, 1_000)


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.arrow"])
def test_an_input_that_changed_between_runs(job: Job, caplog: pytest.LogCaptureFixture, name: str) -> None:
    write(job, "a.parquet", 2_000, 2_300)
    changed = write(job, name, 1_000, 2_000)
    embed_corpus(job)
    time.sleep(0.01)  # A file's time of change is as fine as that.
    write(job, name, 0, 400)
    embed_corpus(job)
    assert f"{changed} has changed; its shards are made anew: 4 removed." in caplog.text
    assert "400 rows in 2 new shards, 300 rows in 1 shards were there" in caplog.text
    assert sorted(vectors_of(Path(job.out))) == [*range(400), *range(2_000, 2_300)]


def test_a_parquet_file_that_changed_within_its_time_and_size_is_known_by_its_footer(job: Job) -> None:
    path = write(job, "in.parquet", 100, 200)
    embed_corpus(job)
    before = path.stat()
    write(job, "in.parquet", 200, 300)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    embed_corpus(job)
    assert sorted(vectors_of(Path(job.out))) == list(range(200, 300))
