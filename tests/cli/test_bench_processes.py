"""`minilm-jax bench` runs whole processes twice, without and with stored programs; no test depends on their time."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from minilm_jax.cli import bench_processes


def test_each_job_runs_without_programs_and_then_with_those_of_its_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []

    def run(command: Sequence[str], *, env: Mapping[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        options = dict(zip(command[5::2], command[6::2], strict=True))
        programs = Path(env["MINILM_JAX_PROGRAMS"])
        lines = Path(options["--file"]).read_text().splitlines()
        jobs.append((options["--precision"], options["--revision"], len(lines), programs.exists()))
        programs.mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    results = list(bench_processes.measure("model", "main"))
    expected = [(precision, count) for precision in ("float32", "int8") for count in (1, 100, 3_000)]
    assert [(each.precision, each.texts) for each in results] == expected
    assert jobs == [(precision, "main", count, found) for precision, count in expected for found in (False, True)]


def test_failed_process_ends_the_command_with_its_message() -> None:
    with pytest.raises(click.ClickException, match=r"minilm_jax embed[^\n]*\n.*missing-model"):
        list(bench_processes.measure(os.devnull + "/missing-model", None))
