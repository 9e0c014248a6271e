"""Output in encodings with few characters, and standard streams that are closed or full, in real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import command

TEXT = "naïve € 犬 🦊"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def run(encoding: str, *arguments: object) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(command(*arguments), env=environment, capture_output=True)


def in_shell(redirection: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    script = f'"$@" {redirection}'
    return subprocess.run(["sh", "-c", script, "sh", *command(*arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("cp1252", r"naïve € \u72ac \ud83e\udd8a"),
        ("ascii", r"na\u00efve \u20ac \u72ac \ud83e\udd8a"),
        ("utf-8", TEXT),
    ],
)
def test_characters_that_stdout_cannot_encode_are_escaped(numbers_model: Path, encoding: str, shown: str) -> None:
    done = run(encoding, "similarity", TEXT, "a", "b", "--model", numbers_model)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown in done.stdout.decode(encoding)


def test_escaped_json_is_valid(numbers_model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(f"{TEXT}\n{TEXT}\n", "utf-8")
    done = run("cp437", "duplicates", tmp_path / "t.txt", "--json", "--model", numbers_model)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("cp437"))[0]["texts"] == [TEXT, TEXT]


def test_help_is_shown_in_every_encoding() -> None:
    for arguments in (["--help"], ["convert", "onnx_to_flax", "--help"]):
        done = run("cp437", *arguments)
        assert (done.returncode, done.stderr) == (0, b"")


@posix_only
@pytest.mark.parametrize(
    ("redirection", "arguments", "message"),
    [
        ("<&-", ["embed", "-"], "error: standard input is closed"),
        (">&-", ["embed", "hello"], "error: standard output is closed"),
        (">&-", ["similarity", "a", "b"], "error: standard output is closed"),
        (">&-", ["--help"], "error: standard output is closed"),
        (">&-", ["info"], "error: standard output is closed"),
    ],
)
def test_closed_stream_is_reported_before_the_work(redirection: str, arguments: list[str], message: str) -> None:
    done = in_shell(redirection, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr


@posix_only
def test_output_file_is_complete_with_all_streams_closed(numbers_model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\nb\n")
    arguments = ["embed", "--file", tmp_path / "t.txt", "--out", tmp_path / "o.jsonl", "--model", numbers_model]
    done = in_shell("<&- >&- 2>&-", *arguments)
    assert done.returncode == 0
    assert [json.loads(line)["text"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == ["a", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full, a device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["completion", "bash"]])
def test_full_stdout_is_one_line(arguments: list[str]) -> None:
    done = in_shell("> /dev/full", *arguments)
    assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")
