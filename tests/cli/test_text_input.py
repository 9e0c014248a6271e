"""The options for the texts of a file, in every command that has them, and options in the wrong place."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.command_line import run_command
from tests.helpers.stub_encoder import StubEncoder


def embedded(*arguments: object, input: str | None = None) -> list[str]:
    result = run_command("embed", *arguments, input=input)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["text"] for line in result.stdout.splitlines()]


def error(*arguments: object, input: str | None = None) -> str:
    result = run_command(*arguments, input=input)
    assert result.exit_code in (1, 2)
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("option", ["--text-column", "--field"])
def test_column_has_two_spellings(stub_encoder: StubEncoder, tmp_path: Path, option: str) -> None:
    (tmp_path / "t.csv").write_text("id,review\n1,a\n")
    assert embedded("--file", tmp_path / "t.csv", option, "review") == ["a"]


@pytest.mark.parametrize("command", ["embed", "search", "cluster", "duplicates", "embed-corpus"])
def test_every_command_that_reads_columns_has_the_same_options(command: str) -> None:
    text = run_command(command, "--help").stdout
    assert "--text-column, --field" in text


@pytest.mark.parametrize(
    ("name", "options", "content"),
    [
        ("t.csv", ["--delimiter", ";"], "id;text\n1;a,b\n"),
        ("t.csv", ["--delimiter", "tab"], "id\ttext\n1\ta,b\n"),
        ("t.csv", ["--delimiter", r"\t"], "id\ttext\n1\ta,b\n"),
        ("t.tsv", [], "id\ttext\n1\ta,b\n"),
        ("t.tsv", ["--delimiter", "|"], "id|text\n1|a,b\n"),
        ("t.log", ["--from", "tsv"], "id\ttext\n1\ta,b\n"),
    ],
)
def test_delimiter_is_given_or_follows_from_the_suffix(
    stub_encoder: StubEncoder, tmp_path: Path, name: str, options: list[str], content: str
) -> None:
    (tmp_path / name).write_text(content)
    assert embedded("--file", tmp_path / name, *options) == ["a,b"]


def test_parquet_is_read(stub_encoder: StubEncoder, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "t": ["a", "b"]}), tmp_path / "t.parquet")
    assert embedded("--file", tmp_path / "t.parquet", "--text-column", "t") == ["a", "b"]
    assert "no column 'text'; available: 'id', 't'" in error("search", "x", "--corpus", tmp_path / "t.parquet")


@pytest.mark.parametrize("arguments", [["embed", "--file"], ["search", "a", "--corpus"], ["cluster"], ["duplicates"]])
def test_row_with_too_many_fields_is_an_error_in_every_command(
    no_model: None, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,hello, world\n")
    assert "t.csv, line 2: not CSV: 3 values for 2 columns" in error(*arguments, tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "--file", "semi.csv"], "line 1: the header is one column, 'id;text'; pass --delimiter ';'."),
        (["search", "a", "--corpus", "tab.csv"], r"the header is one column, 'id\ttext'; pass --delimiter tab."),
        (["embed", "--file", "semi.csv", "--delimiter", "ab"], "'ab' is not a delimiter"),
        (["embed", "a", "--delimiter", ";"], "need --file"),
        (["embed", "a", "--field", "x"], "need --file"),
        (["embed", "-", "--text-column", "x"], "name its format with --from"),
        (["embed", "-", "--delimiter", ";"], "name the format with --from csv"),
        (["cluster", "semi.csv", "--threshold", "nan"], "not a number from -1 to 1"),
        (["duplicates", "semi.csv", "--threshold", "nan"], "not a number from -1 to 1"),
        (
            ["--model", "x", "embed", "hi"],
            "'--model' here. Write it after the command: main embed --model",
        ),
        (["--model", "x"], "Write it after the command: main COMMAND --model"),
        (["embed", "--debug", "hi"], "Write it before the command: main --debug embed"),
        (["cluster", "semi.csv", "--top-k", "3"], "No such option '--top-k' here. It is an option of rerank, search."),
        (["convert", "--out", "x", "onnx_to_flax"], "Write it after the command: main convert onnx_to_flax --out"),
        (["embed", "--feild", "x"], "'--field'"),
        (["embed", "--nonsense"], "No such option"),
    ],
)
def test_mistaken_options_are_explained(
    no_model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("semi.csv").write_text("id;text\n1;a\n")
    Path("tab.csv").write_text("id\ttext\n1\ta\n")
    assert message in error(*arguments)


def test_text_that_is_a_file_name_is_noted(
    stub_encoder: StubEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("a\n")
    note = "note: 'lines.txt' is embedded as a text; to embed the texts in this file, pass it to `embed --file`.\n"
    assert note in run_command("embed", "lines.txt").stderr
    assert note in run_command("similarity", "b", "lines.txt").stderr
    assert "note" not in run_command("embed", "lines.txt", "--quiet").stderr
    assert "note" not in run_command("embed", "other.txt", "x\0y", "x" * 5_000).stderr
