"""Files without the column of texts or without a column that is kept, in corpora whose other files have them."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from minilm_jax.cli import main
from minilm_jax.errors import InputError
from minilm_jax.scale.estimate import estimate
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import add_input, assert_complete, number_table, read_rows

NAMES = ["in.parquet", "in.arrow", "in.arrows", "in.jsonl", "in.csv", "in.csv.gz"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["a", "c"], ids=["first", "last"])
def test_file_without_the_text_column_is_reported_and_the_others_are_finished(
    job: Job, prefix: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_input(job, "b.parquet", number_table(range(300)))
    add_input(job, "d.csv", number_table(range(300, 500)))
    wrong = add_input(job, f"{prefix}{name}", number_table(range(900)).rename_columns(["id", "txt"]))
    job = dataclasses.replace(job, keep=("id",))
    message = f"{wrong}: no column 'text'; available: 'id', 'txt'. Did you mean 'txt'?"
    assert estimate(job).failures == [message]
    for _ in range(2):
        caplog.clear()
        assert [report.failure for report in embed_corpus(job) if report.failure] == [message]
        assert f"{message} The other files are processed." in caplog.text
        assert_complete(job, 500)
    (failed,) = Path(job.out, "_failed").iterdir()
    assert json.loads(failed.read_text())["reason"] == message


@pytest.mark.parametrize("name", NAMES)
def test_kept_column_that_a_file_lacks_becomes_null(job: Job, name: str, caplog: pytest.LogCaptureFixture) -> None:
    add_input(job, "b.parquet", number_table(range(3)))
    for prefix in ("a", "c"):
        add_input(job, f"{prefix}{name}", number_table([7, 8]).select(["text"]))
    embed_corpus(dataclasses.replace(job, keep=("text", "id")))
    assert [row["id"] for row in read_rows(Path(job.out))] == [None, None, 0, 1, 2, None, None]
    assert all(row["embedding"] for row in read_rows(Path(job.out)))
    # Objects in JSON lines may omit keys.
    assert (f"c{name}: no column 'id'; its values become null." in caplog.text) == ("jsonl" not in name)


def test_missing_columns_of_a_file_are_in_one_line(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    add_input(job, "a.parquet", number_table(range(3)).add_column(2, "x", pa.array([1, 2, 3])))
    add_input(job, "b.parquet", number_table([4]).select(["text"]))
    embed_corpus(job)
    assert "b.parquet: no column 'id' or 'x'; its values become null." in caplog.text


def test_column_that_no_file_has_is_an_error(job: Job) -> None:
    for i in range(5):
        add_input(job, f"{i}.csv", number_table([i]))
    with pytest.raises(InputError, match=r"0\.csv: no column 'txt'; .*2\.csv: no column .* and 2 more files"):
        embed_corpus(dataclasses.replace(job, text_column="txt"))
    with pytest.raises(InputError, match=r"Did you mean 'text'\?; .*1\.csv"):
        embed_corpus(dataclasses.replace(job, text_column="tex"))
    with pytest.raises(InputError, match=r"no column 'idd'; available: 'id', 'text'\. Did you mean 'id'\?"):
        embed_corpus(dataclasses.replace(job, keep=("idd",)))
    assert not Path(job.out).exists()


def test_empty_file_does_not_hide_a_wrong_text_column(job: Job) -> None:
    add_input(job, "b.csv", number_table(range(3)))
    Path(job.inputs[0], "a.csv").touch()
    with pytest.raises(InputError, match=r"b\.csv: no column 'txt'"):
        embed_corpus(dataclasses.replace(job, text_column="txt"))


def test_text_column_of_another_type_is_reported(job: Job) -> None:
    add_input(job, "a.parquet", number_table(range(3)))
    add_input(job, "b.parquet", pa.table({"id": pa.array([3], pa.int32()), "text": [3]}))
    failures = [report.failure for report in embed_corpus(job) if report.failure]
    assert failures == [f"{job.inputs[0]}/b.parquet: column 'text' holds int64, not strings."]
    assert_complete(job, 3)


@pytest.mark.parametrize("line", ["{}", "not JSON", '{"id": 1}', "[1]"])
def test_json_file_without_any_text_is_not_taken_for_an_empty_file(job: Job, line: str) -> None:
    add_input(job, "a.jsonl", number_table(range(3)))
    Path(job.inputs[0], "b.jsonl").write_text(f"{line}\n" * 2)
    (failure,) = [report.failure for report in embed_corpus(job) if report.failure]
    assert "b.jsonl: " in failure
    assert_complete(job, 3)


def test_json_file_whose_first_texts_come_late_is_embedded(job: Job) -> None:
    lines = ['{"id": 9}'] * 1_500 + ['{"id": 9, "text": "9", "late": 1}']
    Path(job.inputs[0], "a.jsonl").write_text("\n".join(lines))
    (report,) = embed_corpus(job)
    assert (report.failure, sum(shard.rows for shard in report.written)) == (None, 1_501)
    assert [row["embedding"] is None for row in read_rows(Path(job.out))] == [True] * 1_500 + [False]


def test_dry_run_names_the_file_and_exits_with_1(job: Job) -> None:
    add_input(job, "a.csv", number_table(range(3)))
    add_input(job, "b.csv", number_table(range(3)).rename_columns(["id", "body"]))
    arguments = ["embed-corpus", *job.inputs, "--text-column", "text", "--out", job.out, "--model", job.model]
    result = CliRunner().invoke(main, [*arguments, "--dry-run"])
    assert result.exit_code == 1
    assert "rows      about 3\n" in result.stdout
    assert "b.csv: no column 'text'; available: 'id', 'body'.\nerror: 1 file cannot be embedded" in result.stderr
    assert not Path(job.out).exists()
