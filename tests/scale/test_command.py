"""The `embed-corpus` command: options, messages, exit codes, and the default model."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.cli import main
from minilm_jax.scale.job import Job
from tests.helpers.numbered_corpus import add_input, assert_complete, number_table, read_rows
from tests.helpers.tolerances import UNIT_VECTORS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["embed-corpus", *map(str, arguments)])


def test_command_logs_its_result_and_dry_run_shows_an_estimate(job: Job) -> None:
    add_input(job, "in.csv.gz", number_table(range(700)))
    arguments = (job.inputs[0], "--text-column", "text", "--out", job.out, "--model", job.model, "--shard-rows", 300)
    estimated = run(*arguments, "--dry-run")
    assert (estimated.exit_code, estimated.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in estimated.stdout.splitlines())
    assert lines["rows"] == "about 700"
    assert lines["to"] == "write  about 3 shards, 67.2 kB of vectors"
    assert not Path(job.out).exists()
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "700 rows in 3 new shards." in done.stderr
    assert "finished  700 rows" in run(*arguments, "--dry-run").stdout
    assert run(*arguments, "--quiet").output == ""
    assert_complete(job, 700)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'INPUT...'"),
        (["in.csv", "--out", "o"], "Missing option '--text-column'"),
        (["in.csv", "--text-column", "t", "--out", "o", "--workers", 2], "--workers needs --engine ray"),
        (["in.csv", "--text-column", "t", "--out", "o", "--dtype", "int9"], "Did you mean 'int8'?"),
    ],
)
def test_usage_error_names_the_option(arguments: list[object], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_command_exits_with_1_and_names_a_corrupt_file(job: Job) -> None:
    add_input(job, "a.csv.gz", number_table(range(10)))
    corrupt = add_input(job, "b.csv.gz", number_table(range(10, 2_000)))
    corrupt.write_bytes(corrupt.read_bytes()[:-1_000])
    result = run(*job.inputs, "--text-column", "text", "--out", job.out, "--model", job.model)
    assert result.exit_code == 1
    assert f"{corrupt} cannot be read: " in result.stderr
    assert "error: 1 file could not be read completely; all others are finished. Fix the input and run" in result.stderr


def test_default_model_truncates_long_texts_and_skips_blank_ones(
    encoder: mj.SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_pretrained(name: str, **options: object) -> mj.SentenceEncoder:
        assert name == DEFAULT_MODEL
        assert (options["precision"], options["max_seq_length"]) == ("float32", None)
        return encoder  # Its programs are compiled once for all tests.

    monkeypatch.setattr(mj.SentenceEncoder, "from_pretrained", from_pretrained)
    texts = ["A cat sleeps.", "", "Ünïcode, 日本語 and 🙂", "word " * 400]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    result = run(tmp_path / "in.jsonl", "--text-column", "text", "--out", tmp_path / "out")
    assert "4 rows in 1 new shards, 1 rows without a vector, 1 texts truncated to the maximum length." in result.stderr
    vectors = [row["embedding"] for row in read_rows(tmp_path / "out")]
    assert vectors[1] is None
    expected = [encoder.encode(text) for text in (texts[0], texts[2])]
    np.testing.assert_allclose([vectors[0], vectors[2]], expected, atol=UNIT_VECTORS)
