"""The output folder: skipped and pruned shards, rejected settings, and shares."""

import dataclasses
import logging
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

import minilm_jax as mj
from minilm_jax.errors import InputError
from minilm_jax.scale.estimate import estimate
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from minilm_jax.scale.store import filesystem
from tests.helpers.numbered_corpus import (
    add_input,
    assert_complete,
    number_table,
    read_rows,
)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_rerun_skips_finished_shards_and_embeds_added_files(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    add_input(job, "b.parquet", number_table(range(500)))
    embed_corpus(job)
    before = {path: path.stat().st_mtime_ns for path in Path(job.out).glob("*.parquet")}
    add_input(job, "a.csv", pa.table({"id": range(500, 900), "text": [str(i) for i in range(500, 900)]}))
    caplog.set_level(logging.INFO, "minilm_jax")
    embed_corpus(job)
    assert "400 rows in 2 new shards, 500 rows in 2 finished shards skipped" in logged(caplog)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_complete(job, 900)


def test_output_that_is_a_file_stays_unchanged(job: Job) -> None:
    add_input(job, "in.csv", number_table(range(3)))
    Path(job.out).write_text("other")
    with pytest.raises(InputError, match="is a file; choose a folder with --out"):
        embed_corpus(job)
    assert Path(job.out).read_text() == "other"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "bfloat16"}, r"started with another --precision \(float32, now bfloat16\); pass the same, or"),
        ({"dtype": "int8"}, "another --dtype"),
        ({"shard_rows": 200}, "another --shard-rows"),
        ({"text_column": "other"}, "another --text-column"),
        ({"keep": ("id",)}, r"with other columns: 'other' is missing, 'text' is missing\. Pass .* the same --keep"),
        ({"vector_column": "v"}, "another --vector-column"),
        ({"max_seq_length": 5}, r"another --model or --max-seq-length \("),
    ],
)
def test_folder_with_other_settings_stays_unchanged(job: Job, changes: dict[str, object], message: str) -> None:
    add_input(job, "in.parquet", number_table(range(10)).append_column("other", pa.array(["1"] * 10)))
    embed_corpus(job)
    before = read_rows(Path(job.out))
    with pytest.raises(InputError, match=message):
        embed_corpus(dataclasses.replace(job, **changes))
    assert read_rows(Path(job.out)) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_column": "txt"}, r"in.parquet: no column 'txt'; available: 'id', 'text'. Did you mean 'text'\?"),
        ({"text_column": "id"}, "column 'id' holds int32, not strings"),
        ({"keep": ("idd",)}, "no column 'idd'.*Did you mean 'id'"),
        (
            {"vector_column": "id"},
            "two columns would be named 'id'; choose the columns with --keep, or another --vector-column",
        ),
        ({"inputs": ("nowhere*.csv",)}, r"input nowhere\*.csv does not exist"),
        ({"inputs": ("nowhere.csv",)}, "input nowhere.csv does not exist"),
        (
            {"inputs": (__file__,)},
            r"the format cannot be inferred from the suffix \(.parquet, .*\); pass it with --from",
        ),
        ({"inputs": ("nonsense://x",)}, "nonsense"),
        ({"out": str(Path(__file__).parent)}, "contains other files; choose an empty folder with --out"),
    ],
)
def test_invalid_job_is_rejected_before_anything_is_written(job: Job, changes: dict[str, object], message: str) -> None:
    add_input(job, "in.parquet", number_table(range(10)))
    with pytest.raises(InputError, match=message):
        embed_corpus(dataclasses.replace(job, **changes))
    assert not Path(job.out).exists()


def test_missing_input_is_rejected_or_pruned(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    add_input(job, "a.parquet", number_table(range(10)))
    removed = add_input(job, "b.parquet", number_table(range(10, 20)))
    embed_corpus(job)
    removed.unlink()
    with pytest.raises(InputError, match=r"shards of 1 inputs that are not given now, such as /.*b.parquet; .*--prune"):
        embed_corpus(job)
    caplog.set_level(logging.INFO, "minilm_jax")
    embed_corpus(job, prune=True)
    assert "b.parquet is not an input any more: 1 removed." in logged(caplog)
    assert_complete(job, 10)


def test_estimate_counts_the_rows_of_row_groups(job: Job) -> None:
    add_input(job, "in.parquet", number_table(range(700)))
    add_input(job, "in.arrow", number_table(range(700)))
    result = estimate(job)
    assert (result.files, result.parts, result.counted, result.shards) == (2, 6, 700, 6)
    assert result.rows == pytest.approx(1_400, abs=3)  # The estimate of each part is rounded.
    assert result.seconds > 0


def test_folder_with_files_of_another_program_is_not_changed(job: Job) -> None:
    add_input(job, "in.jsonl", number_table(range(5)))
    other_file = Path(job.out) / "_temporary" / "part-0"
    other_file.parent.mkdir(parents=True)
    other_file.touch()
    with pytest.raises(mj.InputError, match="contains other files"):
        embed_corpus(job)
    assert other_file.exists()


def test_shares_cover_all_rows_and_their_count_cannot_change(job: Job) -> None:
    add_input(job, "in.parquet", number_table(range(700)))
    for number in range(3):
        embed_corpus(job, share=(number, 3))
    ids = [row["id"] for folder in Path(job.out).glob("*-of-3") for row in read_rows(folder)]
    assert sorted(ids) == list(range(700))
    assert sum(estimate(job, share=(number, 3)).finished for number in range(3)) == 700
    for start in (embed_corpus, estimate):
        with pytest.raises(mj.InputError, match=r"contains \d-of-3, so --share 0/2 would write rows twice"):
            start(job, share=(0, 2))


def test_shards_are_not_removed_if_the_model_is_rejected(job: Job) -> None:
    changed = add_input(job, "in.jsonl", number_table(range(5)))
    embed_corpus(job)
    os.utime(changed, (1, 1))
    with pytest.raises(mj.InputError, match="was started with another --model"):
        embed_corpus(dataclasses.replace(job, max_seq_length=5))
    assert len(list(Path(job.out).glob("*.parquet"))) == 1


def test_url_of_a_file_inside_another_file_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.csv", "text")
    with pytest.raises(mj.InputError, match=r"zip://a\.csv"):
        filesystem(f"zip://a.csv::file://{tmp_path}/in.zip")
