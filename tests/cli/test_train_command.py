"""The `train` command: data to a folder, with evaluation, and messages instead of tracebacks."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import minilm_jax as mj
from minilm_jax.cli import main
from tests.helpers.training import PAIRS, SCORED, small_encoder


@pytest.fixture(scope="module")
def start(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    small_encoder(folder).save_pretrained(path)
    return path


def write(path: Path, rows: list) -> Path:
    names = ("query", "answer", "label")
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=False))) + "\n" for row in rows))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.mark.parametrize("rows", [PAIRS, SCORED, [(a, b, f"no {b}") for a, b in PAIRS]])
def test_model_and_scores_are_written(rows: list, start: Path, tmp_path: Path) -> None:
    data, out = write(tmp_path / "data.jsonl", rows), tmp_path / "out"
    columns = ("--columns", "query,answer,label") if isinstance(rows[0][-1], str) and len(rows[0]) == 3 else ()
    found = run(data, "--out", out, "--model", start, "--dev", data, "--max-steps", 3, "--batch-size", 4, *columns)
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout.splitlines()[-1])
    assert result["steps"] == 3
    assert result["before"].keys() == result["after"].keys()
    assert mj.SentenceEncoder(out).encode(["a cat"]).shape == (1, 24)


def test_cross_encoder_is_trained_from_an_encoder(start: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [(a, b, index % 2) for index, (a, b) in enumerate(PAIRS)])
    out = tmp_path / "out"
    found = run(data, "--out", out, "--model", start, "--cross-encoder", "--max-steps", 2, "--batch-size", 4)
    assert found.exit_code == 0, found.output
    assert mj.CrossEncoder(out).num_labels == 1


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("a", "b"), ("a", 1)], (), "line 2: 'answer' is 1"),
        (PAIRS, ("--loss", "cosent"), "the data has no labels"),
        (PAIRS, ("--loss", "cosnet"), "Did you mean 'cosent'?"),
        (PAIRS, ("--batch-size", 100), "batch_size is 100"),
        (PAIRS, ("--batch-size", 1), "no negatives"),
        (PAIRS, ("--columns", "query,anser"), "Did you mean 'answer'?"),
        (PAIRS, ("--freeze", "embedings.*", "--batch-size", 4), "no params match 'embedings.*'"),
    ],
)
def test_mistakes_end_with_a_message(rows: list, options: tuple, message: str, start: Path, tmp_path: Path) -> None:
    found = run(write(tmp_path / "data.jsonl", rows), "--out", tmp_path / "out", "--model", start, *options)
    assert found.exit_code == 1
    assert message in found.stderr
    assert "Traceback" not in found.output
