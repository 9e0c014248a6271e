"""The `evaluate` command chooses the metrics by the columns."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import minilm_jax as mj
from minilm_jax.cli import main
from tests.helpers.small_heads import cross_encoder

PAIRS = [("a cat", "a kitten"), ("a car", "a truck"), ("a river", "a stream")]


def evaluate(path: Path, rows: list, *options: str) -> dict:
    path.write_text("".join(json.dumps(dict(zip(("a", "b", "c"), row, strict=False))) + "\n" for row in rows))
    found = CliRunner().invoke(main, ["evaluate", str(path), "--json", *options])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize(
    ("rows", "options", "metric", "expected"),
    [
        (
            [(*pair, score) for pair, score in zip(PAIRS, (3, 1, 2), strict=True)],
            ("--label", "c"),
            "spearman_cosine",
            None,
        ),
        ([(*pair, "the stock market") for pair in PAIRS], (), "cosine_accuracy", 1.0),
        (PAIRS, (), "cosine_ndcg@10", 1.0),
    ],
)
def test_columns_decide_the_metrics(rows, options, metric, expected, tmp_path: Path) -> None:
    found = evaluate(tmp_path / "rows.jsonl", rows, *options)
    assert -1 <= found[metric] <= 1
    if expected is not None:
        assert found[metric] == expected


def test_cross_encoder_ranks_documents(folder: Path, tmp_path: Path) -> None:
    cross_encoder(folder).save_pretrained(tmp_path / "model")
    rows = [("a cat", "a kitten", 1), ("a cat", "a truck", 0)]
    options = ("--label", "c", "--model", str(tmp_path / "model"))
    scores = mj.CrossEncoder(tmp_path / "model").predict([(a, b) for a, b, _ in rows])
    expected = 1.0 if scores[0] > scores[1] else 0.5
    assert evaluate(tmp_path / "rows.jsonl", rows, *options)["map"] == expected
    found = CliRunner().invoke(main, ["evaluate", str(tmp_path / "rows.jsonl"), "--columns", "a,b", *options[2:]])
    assert found.exit_code == 1
    assert "evaluated with labels" in found.stderr
