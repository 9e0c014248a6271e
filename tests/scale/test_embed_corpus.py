"""A corpus becomes a folder of shards: every format in, every type of vector out, and each row exactly once."""

import dataclasses
import json
import os
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import minilm_jax as mj
from minilm_jax.errors import InputError
from minilm_jax.scale import chunks, text_columns as text_rows
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import plan
from minilm_jax.scale.model import Model
from minilm_jax.scale.run import embed_corpus
from minilm_jax.search import quantize_embeddings
from tests.helpers.numbered_corpus import (
    TOLERANCE,
    check_complete,
    fill,
    numbers,
    rows_of,
    vectors_of,
    write_rows,
)

FORMATS = [
    "in.parquet", "in.arrow", "in.arrows", "in.feather.gz", "in.arrows.zst", "in.jsonl", "in.ndjson.gz", "in.jsonl.zst",
    "in.csv", "in.csv.gz",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_the_same_rows(job: Job, name: str) -> None:
    fill(job, name, numbers(range(1_000)))
    reports = embed_corpus(job)
    assert sum(shard.rows for report in reports for shard in report.written) == 1_000
    check_complete(job, 1_000)
    for path in Path(job.out).glob("*.parquet"):
        assert pq.read_metadata(path).num_rows <= 300


def test_kept_columns_keep_their_types_and_come_in_their_order(job: Job, tmp_path: Path) -> None:
    table = pa.table({
        "at": pa.array(range(5), pa.timestamp("ms", "UTC")),
        "tags": pa.array([["a"], [], None, ["b", "c"], ["d"]], pa.list_(pa.string())),
        "kind": pa.array(["x", "y", "x", None, "y"]).dictionary_encode(),
        "text": ["1", "2", "3", "4", "5"],
        "left": [1.5] * 5,
    })  # fmt: skip
    fill(job, "in.parquet", table)
    embed_corpus(dataclasses.replace(job, keep=("kind", "at", "tags")))
    (shard,) = Path(job.out).glob("*.parquet")
    written = pq.read_table(shard)
    assert written.column_names == ["kind", "at", "tags", "embedding"]
    assert written.drop_columns("embedding").equals(table.select(["kind", "at", "tags"]))
    assert written.schema.field("embedding").type == pa.list_(pa.float32(), 24)


def test_no_column_need_be_kept_and_some_cannot(job: Job) -> None:
    span = pa.array([None, None], pa.month_day_nano_interval())
    write_rows(Path(job.inputs[0]) / "in.arrow", pa.table({"text": ["1", "2"], "span": span}))
    with pytest.raises(InputError, match=r"Parquet has no such column: .*; choose others with --keep"):
        embed_corpus(job)
    embed_corpus(dataclasses.replace(job, keep=()))
    assert [list(row) for row in rows_of(Path(job.out))] == [["embedding"]] * 2


def test_columns_of_text_files_have_the_types_that_they_are_written_with(job: Job) -> None:
    (Path(job.inputs[0]) / "in.jsonl").write_text(
        '{"text": "1", "n": 1, "x": 1, "ok": true, "at": "2020-01-01", "any": {"a": [1]}, "mixed": 1}\n'
        '{"text": "2", "n": 2, "x": 1.5, "ok": null, "mixed": "a"}\n'
    )
    embed_corpus(job)
    first, second = (row for row in rows_of(Path(job.out)))
    assert {**first, "embedding": 0} == {
        "text": "1", "n": 1, "x": 1.0, "ok": True, "at": "2020-01-01", "any": '{"a": [1]}', "mixed": "1",
        "embedding": 0,
    }  # fmt: skip
    assert (second["n"], second["x"], second["any"], second["mixed"]) == (2, 1.5, None, "a")


@pytest.mark.parametrize("dtype", ["float16", "int8", "binary"])
def test_vectors_in_fewer_bits(job: Job, dtype: str) -> None:
    fill(job, "in.csv", numbers(range(200)))
    embed_corpus(dataclasses.replace(job, dtype=dtype))
    found = vectors_of(Path(job.out))
    exact = mj.SentenceEncoder.from_pretrained(job.model).encode([str(i) for i in range(200)])
    stored = np.array([found[i] for i in range(200)])
    if dtype == "binary":
        np.testing.assert_array_equal(stored, quantize_embeddings(exact, "ubinary"))
    else:
        one, error = (127, 0.5) if dtype == "int8" else (1, 2**-11)
        # Half a step; and the rounding of float32 where a value lies between two steps.
        np.testing.assert_allclose(stored / one, exact, atol=error / one + TOLERANCE)


def test_blank_texts_have_no_vector_and_are_not_rejected(job: Job) -> None:
    texts = ["1", None, "", " \t\n\u3000", "2"]
    fill(job, "in.parquet", pa.table({"id": range(5), "text": texts}))
    (report,) = embed_corpus(job)
    assert [vector is None for vector in vectors_of(Path(job.out)).values()] == [False, True, True, True, False]
    assert [(shard.nulls, shard.rejected) for shard in report.written] == [(3, 0)]
    assert os.listdir(Path(job.out) / "_rejects") == []


BAD_LINES = {
    "in.jsonl": (
        b'{"id": 0, "text": "0"}\n{"id": 1, "text": 5}\n\n{"id": 2, "text": "\\ud83d"}\n{"id": 3, "text": "\xff"}\n'
        b'{"id": "x", "text": "4"}\n[5]\n{"id": 6\n{"id": 7, "text": "7"}',
        {1: "no string: 5", 2: "not valid Unicode", 3: "not valid Unicode", 4: "'id' is no int32", 5: "no", 6: "not"},
    ),
    "in.csv": (
        b'\xef\xbb\xbfid,text\r\n0,0\r\n1\r\n2,"2"2\r\n3,\xe9\r\n\r\n\xff,4\r\n5,5\r\n',
        {1: "1 values for 2 columns", 2: "not CSV", 3: "not valid Unicode", 4: "'id' is no int32"},
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_row_that_cannot_be_read_is_rejected_with_its_reason(job: Job, name: str) -> None:
    data, reasons = BAD_LINES[name]
    fill(job, "a.parquet", numbers([]))  # The first file decides the types.
    (Path(job.inputs[0]) / name).write_bytes(data)
    report = embed_corpus(job)[-1]
    rows = list(rows_of(Path(job.out)))
    lines = [json.loads(line) for path in Path(job.out, "_rejects").iterdir() for line in path.read_text().splitlines()]
    assert {line["row"]: line["reason"] for line in lines}.keys() == reasons.keys()
    assert all(reasons[line["row"]] in line["reason"] and line["url"].endswith(name) for line in lines)
    assert report.written[0].rejected == len(reasons)
    # Where only another column is wrong, the text has its vector.
    assert [i for i, row in enumerate(rows) if row["embedding"] is None] == [i for i in reasons if i != 4 and i < 7]
    assert len(rows) == 8 - 2 * (name == "in.csv")


def test_a_column_of_bytes_that_are_not_utf8(job: Job) -> None:
    texts = pa.array([b"1", b"\xff", None, b"2"], pa.binary())
    fill(job, "in.parquet", pa.table({"id": range(4), "text": texts}))
    (report,) = embed_corpus(dataclasses.replace(job, keep=("id",)))
    assert [vector is None for vector in vectors_of(Path(job.out)).values()] == [False, True, True, False]
    assert report.written[0].rejected == 1


def test_inputs_are_found_once_in_folders_and_by_globs(job: Job, tmp_path: Path) -> None:
    fill(job, "a.parquet", numbers(range(0, 5)))
    (tmp_path / "in" / "deep").mkdir()
    fill(job, "deep/b.parquet", numbers(range(5, 10)))
    for name in ("_hidden.csv", ".hidden.csv", "README.md"):
        (tmp_path / "in" / name).write_text("text\n1\n")
    job = dataclasses.replace(job, inputs=(*job.inputs, str(tmp_path / "in/*.parquet")), out=str(tmp_path / "in/out"))
    embed_corpus(job)
    embed_corpus(job)  # The shards, which are under in/, are no inputs.
    check_complete(job, 10)


def test_the_manifest_is_the_same_each_time_and_cuts_at_row_groups(job: Job) -> None:
    fill(job, "in.parquet", numbers(range(1_000)))
    fill(job, "in.arrow", numbers(range(1_000, 1_450)))
    parts = plan(job)
    assert parts == plan(job)
    assert [part.groups for part in parts] == [(0, 1, 2), (3, 4), (0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)]
    assert len({part.name for part in parts}) == 6


def test_a_filesystem_in_memory_is_as_good_as_any(job: Job) -> None:
    memory = fsspec.filesystem("memory")
    try:
        for first in (0, 500):
            table = numbers(range(first, first + 500))
            with memory.open(f"/corpus/{first}.parquet", "wb") as file:
                pq.write_table(table, file, row_group_size=100)
        job = dataclasses.replace(job, inputs=("memory://corpus",), out="memory://vectors")
        embed_corpus(job)
        assert sum(len(report.skipped) for report in embed_corpus(job)) == 4
        tables = [pq.read_table(memory.open(path)) for path in memory.glob("/vectors/*.parquet")]
        assert sorted(pa.concat_tables(tables)["id"].to_pylist()) == list(range(1_000))
        assert not memory.exists("/vectors/_minilm_jax_temporary")
    finally:
        memory.rm("/", recursive=True)


def test_a_file_url_is_its_path(job: Job) -> None:
    path = fill(job, "in.parquet", numbers(range(10)))
    embed_corpus(dataclasses.replace(job, inputs=(path.as_uri(),), out=Path(job.out).as_uri()))
    (report,) = embed_corpus(job)
    assert len(report.skipped) == 1


def test_no_more_is_read_than_is_soon_embedded(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    fill(job, "in.jsonl.gz", numbers(range(20_000)))
    counts = {"read": 0, "embedded": 0, "most": 0}
    rows, embed = text_rows.rows, Model.embed

    def counted(*arguments):
        for row in rows(*arguments):
            counts["read"] += 1
            yield row

    def embedded(self, texts):
        counts["embedded"] += len(texts)
        counts["most"] = max(counts["most"], counts["read"] - counts["embedded"])
        return embed(self, texts)

    monkeypatch.setattr(text_rows, "rows", counted)
    monkeypatch.setattr(Model, "embed", embedded)
    monkeypatch.setattr(chunks, "_ROWS", 100)
    embed_corpus(dataclasses.replace(job, shard_rows=30_000))
    assert counts["read"] > 20_000  # Its first rows are read once more, for the columns.
    assert counts["most"] < 4_000


def test_an_empty_file_is_no_row_and_no_failure(job: Job) -> None:
    fill(job, "b.jsonl", numbers(range(5)))
    (Path(job.inputs[0]) / "a.jsonl").write_bytes(b"")
    assert not [report.failure for report in embed_corpus(job) if report.failure]
    check_complete(job, 5)


def test_a_row_of_wrong_bytes_or_none_costs_no_other(job: Job) -> None:
    required = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("text", pa.string(), nullable=False)])
    fill(job, "a.parquet", numbers(range(3)).cast(required))
    wrong = pa.array([b"3", b"\xff", b"5"], pa.binary()).view(pa.string())
    fill(job, "b.parquet", pa.table({"id": pa.array([3, None, 5], pa.int32()), "text": wrong}))
    (bad,) = [report for report in embed_corpus(job) if report.written[0].rejected]
    assert bad.written[0].nulls == 1
    rows = list(rows_of(Path(job.out)))
    assert [row["text"] for row in rows] == ["0", "1", "2", "3", None, "5"]
