"""Commands that are ended early by a closed pipe or a signal; no partial output file remains."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from minilm_jax.cli import signals
from tests.helpers.command_line import command


def test_closed_output_pipe_ends_the_command_without_a_message(numbers_model: Path) -> None:
    lines = b"hello\n" * 5_000
    with subprocess.Popen(
        command("embed", "--file", "-", "--model", numbers_model),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
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
def test_signal_leaves_no_partial_file(
    numbers_model: Path, tmp_path: Path, number: signal.Signals, code: int, name: str
) -> None:
    source = tmp_path / "in.txt"
    source.write_text("a few words\n" * 2_000_000)
    arguments = command("embed", "--model", numbers_model, "--file", source, "--out", tmp_path / name)
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
    """Wait until the command has written part of its output to a temporary file."""
    for _ in range(1_200):
        if any(path.stat().st_size for path in folder.glob(".*/out*")):
            return
        time.sleep(0.1)
    pytest.fail("nothing was written in two minutes")


def test_signal_is_sent_again_if_a_destructor_swallows_its_exception() -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def run() -> None:
        with signals.raised_as_exceptions():
            Interrupted()
            for _ in range(1_000):
                time.sleep(0.01)  # Python runs signal handlers between these calls.

    with pytest.raises(SystemExit, match="143"):
        run()
