"""Faults: killed runs, full disks, corrupt inputs, damaged shards and changed inputs. No row is lost or repeated."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minilm_jax.errors import InputError
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import add_input, assert_complete, number_table, read_vectors


def add_numbers(job: Job, name: str, first: int, stop: int) -> Path:
    return add_input(job, name, number_table(range(first, stop)))


# The command, which stops itself (SIGSTOP) while it writes its third shard.
_STOPPING_COMMAND = """
import os, signal
from minilm_jax.cli import main
from minilm_jax.scale.model import Model
calls = 0
def embed(self, texts, embed=Model.embed):
    global calls
    calls += 1
    if calls == 3:
        os.kill(os.getpid(), signal.SIGSTOP)
    return embed(self, texts)
Model.embed = embed
main()
"""


def start_stopping_command(job: Job) -> "subprocess.Popen[str]":
    arguments = [
        "embed-corpus", *job.inputs, "--text-column", "text", "--out", job.out, "--model", job.model,
        "--shard-rows", str(job.shard_rows),
    ]  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", _STOPPING_COMMAND, *arguments], stderr=subprocess.PIPE, text=True)


def test_run_continues_after_being_killed_within_a_shard(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    out = Path(job.out)
    add_numbers(job, "in.csv", 0, 3_000)
    for finished, (number, code) in zip(
        (2, 4, 6), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)], strict=True
    ):
        with start_stopping_command(job) as running:
            try:
                assert os.WIFSTOPPED(os.waitpid(running.pid, os.WUNTRACED)[1])
                assert len(list(out.glob("_shards/*"))) == finished
                assert len(list(out.glob("_minilm_jax_temporary/*.parquet.*"))) == 1
                with pytest.raises(InputError, match=r"another run is writing to .*; wait for it, or choose another"):
                    embed_corpus(job)
                running.send_signal(number)
                running.send_signal(signal.SIGCONT)
                messages = running.communicate()[1]
            finally:
                running.kill()
        assert running.returncode == code
        killed = number == signal.SIGKILL
        assert len(list(out.glob("_minilm_jax_temporary/*"))) == killed
        assert killed or messages.endswith(
            "stopped; finished shards are kept, and the same command continues from there.\n"
        )
    embed_corpus(job)
    assert "1,200 rows in 4 new shards, 1,800 rows in 6 finished shards skipped" in caplog.text
    assert_complete(job, 3_000)


def test_run_continues_after_a_full_disk(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    add_numbers(job, "a.parquet", 0, 100)
    add_numbers(job, "b.csv", 100, 1_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The vectors of a full shard take 28,800 bytes, and those of the first one 9,600.
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            embed_corpus(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "stopped; finished shards are kept, and the same command continues from there." in caplog.text
    assert not (Path(job.out) / "_minilm_jax_temporary").exists()
    assert sorted(read_vectors(Path(job.out))) == list(range(100))
    embed_corpus(job)
    assert "900 rows in 3 new shards, 100 rows in 1 finished shards skipped" in caplog.text
    assert_complete(job, 1_000)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])


@pytest.mark.parametrize("name", ["b.parquet", "b.arrow", "b.arrows", "b.csv.gz", "b.jsonl.zst"])
def test_corrupt_file_does_not_affect_the_others(job: Job, caplog: pytest.LogCaptureFixture, name: str) -> None:
    add_numbers(job, "a.parquet", 0, 500)
    corrupt = add_numbers(job, name, 500, 10_000)
    add_numbers(job, "c.parquet", 10_000, 10_500)
    intact = corrupt.read_bytes()
    truncate(corrupt)
    for _ in range(2):  # The second run tries the corrupt file again.
        caplog.clear()
        (failed,) = [report for report in embed_corpus(job) if report.failure]
        assert f"{corrupt} cannot be read" in caplog.text
        (record,) = Path(job.out, "_failed").iterdir()
        assert failed.failure
        assert failed.failure in record.read_text()
        assert {*range(500), *range(10_000, 10_500)} <= read_vectors(Path(job.out)).keys()
    corrupt.write_bytes(intact)
    embed_corpus(job)
    assert os.listdir(Path(job.out, "_failed")) == []
    assert_complete(job, 10_500)


def test_csv_file_with_an_unreadable_header_is_reported(job: Job) -> None:
    add_numbers(job, "a.parquet", 0, 5)
    (Path(job.inputs[0]) / "b.csv").write_text('id,"te"xt\n1,1\n')
    (failed,) = [report.failure for report in embed_corpus(job) if report.failure]
    assert "b.csv: line 1: not CSV" in failed
    assert_complete(job, 5)


def test_unclosed_quote_loses_only_the_rows_up_to_the_limit(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_jax.scale.text_columns._MAX_CSV_FIELD_CHARACTERS", 500)  # Two columns.
    path = Path(job.inputs[0]) / "in.csv"
    path.write_text('id,text\n0,"0\n' + "".join(f"{i},{i}\n" for i in range(1, 500)))
    (report,) = embed_corpus(dataclasses.replace(job, keep=()))
    assert [shard.rejected for shard in report.written] == [1, 0]
    (reject,) = Path(job.out, "_rejects").iterdir()
    assert "not CSV: a row of more than 1,000 characters; is a quote not closed?" in reject.read_text()
    assert sum(shard.rows for shard in report.written) > 300


@pytest.mark.parametrize("damage", [truncate, Path.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_damaged_shard_is_rebuilt(job: Job, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]) -> None:
    add_numbers(job, "in.csv", 0, 1_000)
    embed_corpus(job)
    shard = sorted(Path(job.out).glob("*.parquet"))[1]
    damage(shard)
    embed_corpus(job)
    assert f"{shard.name} is " in caplog.text
    assert "; it is rebuilt." in caplog.text
    assert "300 rows in 1 new shards, 700 rows in 3 finished shards skipped" in caplog.text
    assert_complete(job, 1_000)


@pytest.mark.parametrize("damage", [Path.unlink, truncate, lambda path: path.write_text("{}")])
def test_shard_without_a_valid_sidecar_is_rebuilt(
    job: Job, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    add_numbers(job, "in.csv", 0, 1_000)
    embed_corpus(job)
    damage(sorted(Path(job.out, "_shards").iterdir())[3])
    embed_corpus(job)
    assert "100 rows in 1 new shards, 900 rows in 3 finished shards skipped" in caplog.text
    assert_complete(job, 1_000)


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.arrow"])
def test_shards_of_a_changed_input_are_rebuilt(job: Job, caplog: pytest.LogCaptureFixture, name: str) -> None:
    add_numbers(job, "a.parquet", 2_000, 2_300)
    changed = add_numbers(job, name, 1_000, 2_000)
    embed_corpus(job)
    add_numbers(job, name, 0, 400)
    os.utime(changed, (1, 1))  # The two writes may be within the resolution of the modification time.
    embed_corpus(job)
    assert f"{changed} has changed; its shards are rebuilt: 4 removed." in caplog.text
    assert "400 rows in 2 new shards, 300 rows in 1 finished shards skipped" in caplog.text
    assert sorted(read_vectors(Path(job.out))) == [*range(400), *range(2_000, 2_300)]


def test_changed_parquet_file_of_the_same_size_and_time_is_detected_by_its_footer(job: Job) -> None:
    path = add_numbers(job, "in.parquet", 100, 200)
    embed_corpus(job)
    before = path.stat()
    add_numbers(job, "in.parquet", 200, 300)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    embed_corpus(job)
    assert sorted(read_vectors(Path(job.out))) == list(range(200, 300))
