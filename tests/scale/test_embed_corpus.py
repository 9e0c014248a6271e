"""Embedding of a corpus: input formats, column types, storage types of vectors, and rejected rows."""

import dataclasses
import json
import logging
import os
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import minilm_jax as mj
from minilm_jax.errors import InputError
from minilm_jax.scale import chunks, text_columns
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import plan
from minilm_jax.scale.model import Model
from minilm_jax.scale.run import embed_corpus
from minilm_jax.search import quantize_embeddings
from tests.helpers.numbered_corpus import (
    add_input,
    assert_complete,
    number_table,
    read_rows,
    read_vectors,
    write_table,
)
from tests.helpers.tolerances import UNIT_VECTORS

FORMATS = [
    "in.parquet", "in.arrow", "in.arrows", "in.feather.gz", "in.arrows.zst", "in.jsonl", "in.ndjson.gz", "in.jsonl.zst",
    "in.csv", "in.csv.gz",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_input_format_gives_the_same_rows(job: Job, name: str) -> None:
    add_input(job, name, number_table(range(1_000)))
    reports = embed_corpus(job)
    assert sum(shard.rows for report in reports for shard in report.written) == 1_000
    assert_complete(job, 1_000)
    for path in Path(job.out).glob("*.parquet"):
        assert pq.read_metadata(path).num_rows <= 300


@pytest.mark.parametrize("name", ["IN.PARQUET", "In.Csv.GZ", "in.JSONL", "in.Arrows.zSt"])
def test_suffixes_are_case_insensitive(job: Job, name: str) -> None:
    path = add_input(job, name.lower(), number_table(range(10)))
    path.rename(path.with_name(name))
    embed_corpus(job)
    assert_complete(job, 10)


@pytest.mark.parametrize(
    ("name", "delimiter", "used"), [("in.csv", ";", ";"), ("in.tsv", None, "\t"), ("in.TSV", "|", "|")]
)
def test_delimiter_is_given_or_follows_from_the_suffix(job: Job, name: str, delimiter: str | None, used: str) -> None:
    (Path(job.inputs[0]) / name).write_text("id,text\n0,0\n1,1\n".replace(",", used))
    embed_corpus(dataclasses.replace(job, delimiter=delimiter))
    assert [row["text"] for row in read_rows(Path(job.out))] == ["0", "1"]


def test_file_is_embedded_again_with_another_delimiter(job: Job) -> None:
    (Path(job.inputs[0]) / "in.csv").write_text("text;id,text\n0;1,2\n")
    reports = [embed_corpus(dataclasses.replace(job, keep=("text",), delimiter=delimiter)) for delimiter in ";,,"]
    assert [[len(report.written) for report in run] for run in reports] == [[1], [1], [0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id;text\n1;a\n", "the header is one column, 'id;text'; pass --delimiter ';'."),
        ("id,text\n1,a\n".encode("utf-16"), "line 1: the file is UTF-16, not UTF-8"),
        (b"id,text,\xff\n1,a,b\n", "line 1: the column name '\\udcff' is not UTF-8"),
    ],
)
def test_csv_file_that_cannot_be_read_is_named_and_the_others_are_finished(
    job: Job, caplog: pytest.LogCaptureFixture, content: bytes, message: str
) -> None:
    (Path(job.inputs[0]) / "bad.csv").write_bytes(content)
    (Path(job.inputs[0]) / "good.csv").write_bytes(b"  \nid,text\n0,0\n")
    reports = embed_corpus(job)
    assert [row["text"] for row in read_rows(Path(job.out))] == ["0"]
    assert any(f"bad.csv: {message}" in (report.failure or "") for report in reports)


def test_kept_columns_have_their_types_and_the_order_of_keep(job: Job) -> None:
    table = pa.table({
        "at": pa.array(range(5), pa.timestamp("ms", "UTC")),
        "tags": pa.array([["a"], [], None, ["b", "c"], ["d"]], pa.list_(pa.string())),
        "kind": pa.array(["x", "y", "x", None, "y"]).dictionary_encode(),
        "text": ["1", "2", "3", "4", "5"],
        "left": [1.5] * 5,
    })  # fmt: skip
    add_input(job, "in.parquet", table)
    embed_corpus(dataclasses.replace(job, keep=("kind", "at", "tags")))
    (shard,) = Path(job.out).glob("*.parquet")
    written = pq.read_table(shard)
    assert written.column_names == ["kind", "at", "tags", "embedding"]
    # Dictionaries are stored as their values.
    expected = table.select(["kind", "at", "tags"]).set_column(0, "kind", table["kind"].cast(pa.string()))
    assert written.drop_columns("embedding").equals(expected)
    assert written.schema.field("embedding").type == pa.list_(pa.float32(), 24)


def test_unsupported_column_is_rejected_unless_it_is_not_kept(job: Job) -> None:
    span = pa.array([None, None], pa.month_day_nano_interval())
    write_table(Path(job.inputs[0]) / "in.arrow", pa.table({"text": ["1", "2"], "span": span}))
    with pytest.raises(InputError, match=r"Parquet does not support a column: .*; choose other columns with --keep"):
        embed_corpus(job)
    embed_corpus(dataclasses.replace(job, keep=()))
    assert [list(row) for row in read_rows(Path(job.out))] == [["embedding"]] * 2


def test_json_columns_have_the_types_of_their_values(job: Job) -> None:
    (Path(job.inputs[0]) / "in.jsonl").write_text(
        '{"text": "1", "n": 1, "x": 1, "ok": true, "at": "2020-01-01", "any": {"a": [1]}, "mixed": 1}\n'
        '{"text": "2", "n": 2, "x": 1.5, "ok": null, "mixed": "a"}\n'
    )
    embed_corpus(job)
    first, second = read_rows(Path(job.out))
    assert {**first, "embedding": 0} == {
        "text": "1", "n": 1, "x": 1.0, "ok": True, "at": "2020-01-01", "any": '{"a": [1]}', "mixed": "1",
        "embedding": 0,
    }  # fmt: skip
    assert (second["n"], second["x"], second["any"], second["mixed"]) == (2, 1.5, None, "a")


@pytest.mark.parametrize("dtype", ["float16", "int8", "binary"])
def test_vectors_are_stored_in_the_chosen_type(job: Job, dtype: str) -> None:
    add_input(job, "in.csv", number_table(range(300)))
    embed_corpus(dataclasses.replace(job, dtype=dtype))
    vectors = read_vectors(Path(job.out))
    exact = mj.SentenceEncoder.from_pretrained(job.model).encode([str(i) for i in range(300)])
    stored = np.array([vectors[i] for i in range(300)])
    if dtype == "binary":
        np.testing.assert_array_equal(stored, quantize_embeddings(exact, "ubinary"))
    else:
        one, error = (127, 0.5) if dtype == "int8" else (1, 2**-11)
        # Half a step of the type, and the float32 difference for values halfway between two steps.
        np.testing.assert_allclose(stored / one, exact, atol=error / one + UNIT_VECTORS)


def test_blank_text_has_a_null_vector_and_is_not_rejected(job: Job) -> None:
    texts = ["1", None, "", " \t\n\u3000", "2"]
    add_input(job, "in.parquet", pa.table({"id": range(5), "text": texts}))
    (report,) = embed_corpus(job)
    assert [vector is None for vector in read_vectors(Path(job.out)).values()] == [False, True, True, True, False]
    assert [(shard.nulls, shard.rejected) for shard in report.written] == [(3, 0)]
    assert os.listdir(Path(job.out) / "_rejects") == []


BAD_LINES = {
    "in.jsonl": (
        b'{"id": 0, "text": "0"}\n{"id": 1, "text": 5}\n\n{"id": 2, "text": "\\ud83d"}\n{"id": 3, "text": "\xff"}\n'
        b'{"id": "x", "text": "4"}\n[5]\n{"id": 6\n{"id": 7, "text": "7"}\n{"id": 8, "text": "8", "id": 8}\n'
        b'{"id": 9, "text": "9", "\xff": 9}\n',
        {
            1: "not of type string: 5",
            2: "not valid Unicode",
            3: "not valid Unicode",
            4: "'id' is not of type int32",
            5: "an array, not an object",
            6: "not JSON",
            8: "the key 'id' occurs twice",
            9: "the key '\\udcff' is not valid Unicode",
        },
    ),
    "in.csv": (
        b'\xef\xbb\xbfid,text\r\n0,0\r\n1\r\n2,"2"2\r\n3,\xe9\r\n\r\n\xff,4\r\n5,5\r\n',
        {1: "1 values for 2 columns", 2: "not CSV", 3: "not valid Unicode", 4: "'id' is not of type int32"},
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_unreadable_row_is_rejected_with_its_reason(job: Job, name: str) -> None:
    data, reasons = BAD_LINES[name]
    add_input(job, "a.parquet", number_table([]))  # The first file determines the column types.
    (Path(job.inputs[0]) / name).write_bytes(data)
    report = embed_corpus(job)[-1]
    rows = read_rows(Path(job.out))
    lines = [json.loads(line) for path in Path(job.out, "_rejects").iterdir() for line in path.read_text().splitlines()]
    assert {line["row"]: line["reason"] for line in lines}.keys() == reasons.keys()
    assert all(reasons[line["row"]] in line["reason"] and line["url"].endswith(name) for line in lines)
    assert report.written[0].rejected == len(reasons)
    # Row 4 has a wrong value in another column, so its text still has a vector.
    assert [i for i, row in enumerate(rows) if row["embedding"] is None] == [i for i in reasons if i != 4]
    assert len(rows) == 10 - 4 * (name == "in.csv")


def test_text_that_is_not_utf8_in_a_binary_column_is_rejected(job: Job) -> None:
    texts = pa.array([b"1", b"\xff", None, b"2"], pa.binary())
    add_input(job, "in.parquet", pa.table({"id": range(4), "text": texts}))
    (report,) = embed_corpus(dataclasses.replace(job, keep=("id",)))
    assert [vector is None for vector in read_vectors(Path(job.out)).values()] == [False, True, True, False]
    assert report.written[0].rejected == 1


def test_files_found_in_a_folder_and_by_a_glob_are_embedded_once(job: Job, tmp_path: Path) -> None:
    add_input(job, "a.parquet", number_table(range(0, 5)))
    (tmp_path / "in" / "deep").mkdir()
    add_input(job, "deep/b.parquet", number_table(range(5, 10)))
    for name in ("_hidden.csv", ".hidden.csv", "README.md"):
        (tmp_path / "in" / name).write_text("text\n1\n")
    job = dataclasses.replace(job, inputs=(*job.inputs, str(tmp_path / "in/*.parquet")), out=str(tmp_path / "in/out"))
    embed_corpus(job)
    embed_corpus(job)  # The output folder is inside in/, but its shards are not read as inputs.
    assert_complete(job, 10)


def test_manifest_is_deterministic_and_splits_at_row_groups(job: Job) -> None:
    add_input(job, "in.parquet", number_table(range(1_000)))
    add_input(job, "in.arrow", number_table(range(1_000, 1_450)))
    parts = plan(job)
    assert parts == plan(job)
    assert [part.groups for part in parts] == [(0, 1, 2), (3, 4), (0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)]
    assert len({part.name for part in parts}) == 6


def test_inputs_and_output_may_be_on_another_filesystem(job: Job) -> None:
    memory = fsspec.filesystem("memory")
    try:
        for first in (0, 500):
            table = number_table(range(first, first + 500))
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


def test_file_url_is_equivalent_to_its_path(job: Job) -> None:
    path = add_input(job, "in.parquet", number_table(range(10)))
    embed_corpus(dataclasses.replace(job, inputs=(path.as_uri(),), out=Path(job.out).as_uri()))
    (report,) = embed_corpus(job)
    assert len(report.skipped) == 1


def test_rows_are_read_only_shortly_before_they_are_embedded(
    monkeypatch: pytest.MonkeyPatch, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "minilm_jax")  # The progress reads some rows to estimate their number.
    add_input(job, "in.jsonl.gz", number_table(range(20_000)))
    counts = {"read": 0, "embedded": 0, "ahead": 0}
    read_rows, embed = text_columns.read_rows, Model.embed

    def count_rows(*arguments):
        for row in read_rows(*arguments):
            counts["read"] += 1
            yield row

    def count_texts(self, texts):
        counts["embedded"] += len(texts)
        counts["ahead"] = max(counts["ahead"], counts["read"] - counts["embedded"])
        return embed(self, texts)

    monkeypatch.setattr(text_columns, "read_rows", count_rows)
    monkeypatch.setattr(Model, "embed", count_texts)
    monkeypatch.setattr(chunks, "_ROWS", 100)
    embed_corpus(dataclasses.replace(job, shard_rows=30_000))
    assert counts["read"] > 20_000  # The first rows are read twice, to infer the columns.
    assert counts["ahead"] < 4_000


def test_empty_file_has_no_rows_and_is_not_a_failure(job: Job) -> None:
    add_input(job, "b.jsonl", number_table(range(5)))
    (Path(job.inputs[0]) / "a.jsonl").write_bytes(b"")
    assert not [report.failure for report in embed_corpus(job) if report.failure]
    assert_complete(job, 5)


def test_invalid_bytes_or_null_in_a_required_column_affect_only_their_row(job: Job) -> None:
    required = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("text", pa.string(), nullable=False)])
    add_input(job, "a.parquet", number_table(range(3)).cast(required))
    wrong = pa.array([b"3", b"\xff", b"5"], pa.binary()).view(pa.string())
    add_input(job, "b.parquet", pa.table({"id": pa.array([3, None, 5], pa.int32()), "text": wrong}))
    (bad,) = [report for report in embed_corpus(job) if report.written[0].rejected]
    assert bad.written[0].nulls == 1
    rows = read_rows(Path(job.out))
    assert [row["text"] for row in rows] == ["0", "1", "2", "3", None, "5"]
