"""`minilm-jax embed`: input and output formats, truncation, and errors before the model is loaded."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.command_line import run_command
from tests.helpers.stub_encoder import STUB_WIDTH, StubEncoder


def records(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_texts_are_printed_with_their_vectors_as_json_lines(stub_encoder: StubEncoder) -> None:
    result = run_command("embed", "ab", "--batch-size", 2, "")
    assert result.exit_code == 0
    assert records(result.stdout) == [
        {"text": "ab", "embedding": [2, 97, 98, 32, 32]},
        {"text": "", "embedding": [0, 32, 32, 32, 32]},
    ]
    assert result.stderr == ""
    assert stub_encoder.calls == [(2, 2)]


@pytest.mark.parametrize("arguments", [["--file", "-"], ["-"]])
def test_dash_reads_one_text_per_line_of_standard_input(stub_encoder: StubEncoder, arguments: list[str]) -> None:
    assert [r["text"] for r in records(run_command("embed", *arguments, input="a\n\nb").stdout)] == ["a", "", "b"]


def test_from_and_to_name_the_formats(stub_encoder: StubEncoder) -> None:
    result = run_command(
        "embed", "--file", "-", "--from", "csv", "--text-column", "t", "--to", "csv", input="i,t\n1,abc\n"
    )
    assert result.stdout == 'text,e0,e1,e2,e3,e4\n"abc",3,97,98,99,32\n'


def test_large_file_is_embedded_in_chunks(stub_encoder: StubEncoder, tmp_path: Path) -> None:
    source, out = tmp_path / "in.txt", tmp_path / "out.npy"
    source.write_text("x\n" * 10_000)
    assert run_command("embed", "--file", source, "--out", out).exit_code == 0
    assert np.load(out).shape == (10_000, STUB_WIDTH)
    assert [count for count, _ in stub_encoder.calls] == [4_096, 4_096, 1_808]


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
def test_empty_file_gives_an_empty_array(stub_encoder: StubEncoder, tmp_path: Path, suffix: str) -> None:
    source, out = tmp_path / f"in.{suffix}", tmp_path / "out.npy"
    source.touch()
    assert run_command("embed", "--file", source, "--out", out).exit_code == 0
    assert np.load(out).shape == (0, STUB_WIDTH)


def test_truncation_is_reported_once_with_the_total(stub_encoder: StubEncoder, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("a\nlonger\n" * 3_000)
    result = run_command("embed", "--file", source, "--out", tmp_path / "out.npy")
    assert result.stderr == (
        "3,000 of 6,000 texts were longer than 4 tokens and were truncated; --max-seq-length raises the limit.\n"
    )
    assert run_command("embed", "--quiet", "longer").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either TEXTs or --file"),
        (["a", "--file", "in.txt"], "give either TEXTs or --file"),
        (["--file", "none.txt"], "'none.txt' does not exist."),
        (["--file", "inn.txt"], "does not exist. Did you mean 'in.txt'?"),
        (["a", "--precision", "float23"], "Did you mean 'float32'?"),
        (
            ["--file", "in.log"],
            ".csv, .tsv, .parquet, .pq; name the format with --from",
        ),
        (["a", "--out", "x.bin"], "not one of .npy, .npz, .parquet, .jsonl, .csv; name the format with --to"),
        (["a", "--to", "npy"], "npy cannot be written to standard output"),
        (["--file", "in.txt", "--out", "in.txt", "--to", "csv"], "would overwrite the texts"),
        (["a", "--batch-size", "0"], "--batch-size"),
        (["--precison", "int8", "a"], "'--precision'"),
        (["a", "--out", "x.parqet"], "Did you mean '.parquet'?"),
    ],
)
def test_wrong_usage_exits_with_2_before_the_model_is_loaded(
    no_model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.txt", "in.log"):
        Path(name).touch()
    result = run_command("embed", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--out", "no/x.npy"], "no does not exist; create it first."),
        (["--file", "bad.jsonl"], "error: bad.jsonl, line 2: not JSON"),
        (["--file", "bad.jsonl", "--from", "csv"], "no column 'text'"),
    ],
)
def test_invalid_files_exit_with_1_before_the_model_is_loaded(
    no_model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"text": "a"}\n{')
    result = run_command("embed", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert os.listdir() == ["bad.jsonl"]
