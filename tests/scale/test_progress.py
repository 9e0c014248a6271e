"""Progress of a run: a bar on a terminal, plain lines elsewhere, and nothing with --quiet."""

import dataclasses
import os
import pty
import re
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from minilm_jax.progress import count_of, duration
from minilm_jax.scale import run_progress
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import plan
from minilm_jax.scale.run import embed_corpus
from minilm_jax.scale.run_progress import show_progress
from tests.helpers.command_line import command
from tests.helpers.numbered_corpus import add_input, number_table

LINE = re.compile(r"([\d,]+) of (about )?([\d,]+) rows, ([\d,.]+) rows/s, .* left\.")


def embed_command(job: Job, *options: str) -> list[str]:
    arguments = (*job.inputs, "--text-column", "text", "--out", job.out, "--model", job.model, "--shard-rows", "300")
    return command("embed-corpus", *arguments, *options)


def stderr_of(arguments: Sequence[str]) -> str:
    return subprocess.run(arguments, stderr=subprocess.PIPE, text=True, check=True).stderr


def test_redirected_output_has_plain_lines_at_the_start_and_after_the_first_shard(job: Job) -> None:
    add_input(job, "a.csv", number_table(range(700)))
    first, line, last = stderr_of(embed_command(job)).splitlines()
    assert first == "embedding about 700 rows of 1 file."
    assert LINE.fullmatch(line)
    assert line.startswith("300 of about 700 rows, ")
    assert last.startswith("700 rows in 3 new shards. ")
    rerun = stderr_of(embed_command(job))
    assert re.fullmatch(
        r"embedding about 700 rows of 1 file\.\n0 rows in 0 new shards, 700 .* skipped\. .* s\.\n", rerun
    )
    assert stderr_of(embed_command(dataclasses.replace(job, out=f"{job.out}2"), "--quiet")) == ""


def test_terminal_has_a_bar_and_no_lines(job: Job) -> None:
    add_input(job, "a.csv", number_table(range(700)))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen(embed_command(job), stderr=theirs):
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4_096):
                shown += data
        except OSError:  # Linux reports the end of a terminal as an error.
            pass
    os.close(ours)
    assert b"\r" in shown
    assert b"700/700" in shown
    assert b"rows/s, " not in shown
    assert b"embedding" not in shown


def test_a_line_is_logged_at_every_interval_and_none_after_the_run(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_input(job, "a.csv", number_table(range(300)))
    add_input(job, "b.parquet", number_table(range(300)))
    parts = plan(job)
    monkeypatch.setattr(run_progress, "_SECONDS_PER_LINE", 0.02)
    with show_progress(parts, parts) as progress:
        time.sleep(0.1)
        progress.add(100, skipped=True)
    lines = caplog.messages[-2:]
    time.sleep(0.1)
    assert caplog.messages[-2:] == lines
    assert caplog.text.count("0 of about 600 rows.") >= 2


def test_skipped_rows_count_as_done_but_not_for_the_rate(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_input(job, "a.parquet", number_table(range(1_000)))
    parts = plan(job)
    clock = iter([0.0, 100.0, 102.0, 104.0])
    monkeypatch.setattr(run_progress.time, "perf_counter", lambda: next(clock))
    with show_progress(parts, parts) as progress:
        progress.add(400, skipped=True)  # 100 seconds
        progress.add(100)
        progress.add(100)
        progress.finish_shard()
        progress.finish_shard()
    assert caplog.messages == ["embedding 1,000 rows of 1 file.", "600 of 1,000 rows, 50 rows/s, 8 s left."]


def test_lines_count_the_rows_of_one_share(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    add_input(job, "a.parquet", number_table(range(1_000)))
    for number in range(2):
        embed_corpus(job, share=(number, 2))
    starts = [re.match(r"embedding ([\d,]+) rows", message) for message in caplog.messages]
    counts = [int(start[1].replace(",", "")) for start in starts if start]
    assert sum(counts) == 1_000
    assert len(counts) == 2


def test_counts_and_durations_have_their_units() -> None:
    assert [count_of(number, "file") for number in (1, 2_000)] == ["1 file", "2,000 files"]
    assert [duration(seconds) for seconds in (4.4, 300, 7_500)] == ["4 s", "5 min", "2 h 5 min"]


def test_closed_stderr_is_not_a_terminal(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    add_input(job, "a.csv", number_table(range(3)))
    monkeypatch.setattr("sys.stderr", None)
    embed_corpus(job)
    assert len(list(Path(job.out).glob("*.parquet"))) == 1
