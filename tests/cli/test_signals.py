"""What ends the command line early: a signal, or a reader that goes away. Nothing half done stays behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from minilm_jax.cli import signals
from tests.helpers.command_line import command


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    lines = b"hello\n" * 5_000
    with subprocess.Popen(
        command("embed", "--file", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(lines)
        process.stdin.close()
        assert json.loads(process.stdout.readline())["text"] == "hello"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "out.npy"), (signal.SIGTERM, 143, "out.parquet")]
)
def test_a_signal_leaves_no_file(tmp_path: Path, number: signal.Signals, code: int, name: str) -> None:
    source = tmp_path / "in.txt"
    source.write_text("a few words\n" * 100_000)
    arguments = command("embed", "--file", source, "--out", tmp_path / name)
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for_bytes(tmp_path)
            process.send_signal(number)
            assert process.communicate(timeout=60)[1] == ""
        finally:
            process.kill()
    assert process.returncode == code
    assert os.listdir(tmp_path) == ["in.txt"]


def wait_for_bytes(folder: Path) -> None:
    for _ in range(1_200):
        if any(path.stat().st_size for path in folder.glob(".out*/out*")):
            return
        time.sleep(0.1)
    pytest.fail("nothing was written in two minutes")


def test_a_signal_whose_exception_is_lost_in_a_destructor_comes_again() -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def run() -> None:
        with signals.raised_as_exceptions():
            Interrupted()
            time.sleep(10)

    with pytest.raises(SystemExit, match="143"):
        run()
