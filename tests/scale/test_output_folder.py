"""The folder of shards and the command: what is skipped, refused, pruned or shared, and what is said of it."""

import dataclasses
import json
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import minilm_jax as mj
from minilm_jax.cli import main
from minilm_jax.errors import InputError
from minilm_jax.scale.estimate import estimate
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from minilm_jax.scale.store import filesystem
from tests.helpers.numbered_corpus import (
    TOLERANCE,
    check_complete,
    fill,
    numbers,
    rows_of,
)


def log_lines(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_a_rerun_skips_and_files_may_be_added(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    fill(job, "b.parquet", numbers(range(500)))
    embed_corpus(job)
    before = {path: path.stat().st_mtime_ns for path in Path(job.out).glob("*.parquet")}
    fill(job, "a.csv", pa.table({"id": range(500, 900), "text": [str(i) for i in range(500, 900)]}))
    caplog.set_level(logging.INFO, "minilm_jax")
    with pytest.raises(InputError, match=r"begun with another --keep"):
        embed_corpus(job)  # The first file decides the types, and CSV has none.
    Path(job.inputs[0], "a.csv").unlink()
    fill(job, "c.parquet", numbers(range(500, 900)))
    embed_corpus(job)
    assert "400 rows in 2 new shards, 500 rows in 2 shards were there" in log_lines(caplog)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    check_complete(job, 900)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "bfloat16"}, r"begun with another --precision \(float32, now bfloat16\); give the same, or"),
        ({"dtype": "int8"}, "another --dtype"),
        ({"shard_rows": 200}, "another --shard-rows"),
        ({"text_column": "other"}, "another --text-column"),
        ({"keep": ("id",)}, "another --keep"),
        ({"vector_column": "v"}, "another --vector-column"),
        ({"max_seq_length": 5}, "another --model, or its --max-seq-length,"),
    ],
)
def test_two_jobs_are_not_mixed_in_one_folder(job: Job, changes: dict[str, object], message: str) -> None:
    fill(job, "in.parquet", numbers(range(10)).append_column("other", pa.array(["1"] * 10)))
    embed_corpus(job)
    before = list(rows_of(Path(job.out)))
    with pytest.raises(InputError, match=message):
        embed_corpus(dataclasses.replace(job, **changes))
    assert list(rows_of(Path(job.out))) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_column": "txt"}, r"in.parquet: no column 'txt'; there is 'id', 'text'. Did you mean 'text'\?"),
        ({"text_column": "id"}, "column 'id' holds int32, not strings"),
        ({"keep": ("idd",)}, "no column 'idd'.*Did you mean 'id'"),
        ({"vector_column": "id"}, "two columns would be named 'id'; choose with --keep, or another --vector-column"),
        ({"inputs": ("nowhere*.csv",)}, "there is no input nowhere"),
        ({"inputs": ("nowhere.csv",)}, "there is no input nowhere.csv"),
        ({"inputs": (__file__,)}, "no suffix is one of .parquet, .*; name the format with --from"),
        ({"inputs": ("nonsense://x",)}, "nonsense"),
        ({"out": str(Path(__file__).parent)}, "holds other files; choose an empty folder with --out"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    job: Job, changes: dict[str, object], message: str
) -> None:
    fill(job, "in.parquet", numbers(range(10)))
    with pytest.raises(InputError, match=message):
        embed_corpus(dataclasses.replace(job, **changes))
    assert not Path(job.out).exists()


def test_an_input_that_is_gone_is_refused_or_pruned(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    fill(job, "a.parquet", numbers(range(10)))
    gone = fill(job, "b.parquet", numbers(range(10, 20)))
    embed_corpus(job)
    gone.unlink()
    with pytest.raises(InputError, match=r"shards of 1 inputs that are not given now, such as /.*b.parquet; .*--prune"):
        embed_corpus(job)
    caplog.set_level(logging.INFO, "minilm_jax")
    embed_corpus(job, prune=True)
    assert "b.parquet is no input now: 1 removed." in log_lines(caplog)
    check_complete(job, 10)


# The command


def run(*arguments: object):
    return CliRunner().invoke(main, ["--no-compilation-cache", "embed-corpus", *map(str, arguments)])


def test_the_command_says_what_it_did_and_shows_what_it_would_do(job: Job) -> None:
    fill(job, "in.csv.gz", numbers(range(700)))
    arguments = (job.inputs[0], "--text-column", "text", "--out", job.out, "--model", job.model, "--shard-rows", 300)
    shown = run(*arguments, "--dry-run")
    assert (shown.exit_code, shown.stderr) == (0, "")
    said = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert said["rows"] == "about 700"
    assert said["to"] == "write  about 3 shards, 67.2 kB of vectors"
    assert not Path(job.out).exists()
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "700 rows in 3 new shards." in done.stderr
    assert "finished  700 rows" in run(*arguments, "--dry-run").stdout
    assert run(*arguments, "--quiet").output == ""
    check_complete(job, 700)


def test_an_estimate_of_row_groups_counts_them(job: Job) -> None:
    fill(job, "in.parquet", numbers(range(700)))
    fill(job, "in.arrow", numbers(range(700)))
    found = estimate(job)
    assert (found.files, found.parts, found.counted, found.shards) == (2, 6, 700, 6)
    assert found.rows == pytest.approx(1_400, abs=3)  # Each part's share is rounded.
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'INPUT...'"),
        (["in.csv", "--out", "o"], "Missing option '--text-column'"),
        (["in.csv", "--text-column", "t", "--out", "o", "--workers", 2], "--workers needs --engine ray"),
        (["in.csv", "--text-column", "t", "--out", "o", "--dtype", "int9"], "Did you mean 'int8'?"),
    ],
)
def test_wrong_usage(arguments: list[object], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_the_real_model(encoder: mj.SentenceEncoder, tmp_path: Path) -> None:
    texts = ["A cat sleeps.", "", "Ünïcode, 日本語 and 🙂", "word " * 400]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    result = run(tmp_path / "in.jsonl", "--text-column", "text", "--out", tmp_path / "out")
    assert result.stderr.startswith(
        "4 rows in 1 new shards, 1 rows without a vector, 1 texts cut at the limit of tokens."
    )
    found = [row["embedding"] for row in rows_of(tmp_path / "out")]
    assert found[1] is None
    expected = [encoder.encode(text) for text in (texts[0], texts[2])]
    np.testing.assert_allclose([found[0], found[2]], expected, atol=TOLERANCE)


def test_a_folder_that_is_being_written_by_others_is_left_alone(job: Job) -> None:
    fill(job, "in.jsonl", numbers(range(5)))
    theirs = Path(job.out) / "_temporary" / "part-0"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with pytest.raises(mj.InputError, match="holds other files"):
        embed_corpus(job)
    assert theirs.exists()


def test_shares_are_all_of_one_number(job: Job) -> None:
    fill(job, "in.parquet", numbers(range(700)))
    for number in range(3):
        embed_corpus(job, share=(number, 3))
    found = [row["id"] for shard in Path(job.out).glob("*-of-3/*.parquet") for row in pq.read_table(shard).to_pylist()]
    assert sorted(found) == list(range(700))
    assert sum(estimate(job, share=(number, 3)).finished for number in range(3)) == 700
    for start in (embed_corpus, estimate):
        with pytest.raises(mj.InputError, match=r"holds \d-of-3, and with --share 0/2 rows would be there twice"):
            start(job, share=(0, 2))


def test_nothing_is_removed_for_a_model_that_is_refused(job: Job, tmp_path: Path) -> None:
    changed = fill(job, "in.jsonl", numbers(range(5)))
    embed_corpus(job)
    os.utime(changed, (1, 1))
    with pytest.raises(mj.InputError, match="was begun with another --model"):
        embed_corpus(dataclasses.replace(job, max_seq_length=5))
    assert len(list(Path(job.out).glob("*.parquet"))) == 1


def test_a_url_that_a_path_cannot_stand_for_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.csv", "text")
    with pytest.raises(mj.InputError, match=r"zip://a\.csv"):
        filesystem(f"zip://a.csv::file://{tmp_path}/in.zip")
