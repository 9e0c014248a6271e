"""Types of columns that differ between files, dictionary columns, and columns from the names of folders."""

import dataclasses
import datetime
import itertools
import json
import logging
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from minilm_jax.errors import InputError
from minilm_jax.scale.column_types import common_type
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import plan
from minilm_jax.scale.partitions import partition_fields, partition_values
from minilm_jax.scale.plain_types import plain_type, to_plain
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import add_input, number_table, read_rows, write_table

NOON = datetime.datetime(2024, 1, 1, 12)


def embed(job: Job) -> list[Any]:
    """Embed a corpus, and return the values of the column x."""
    embed_corpus(job)
    return [row["x"] for row in read_rows(Path(job.out))]


def add_values(job: Job, name: str, values: pa.Array) -> None:
    add_input(job, name, pa.table({"text": ["1"] * len(values), "x": values}))


def rejected(job: Job) -> list[dict[str, Any]]:
    files = sorted(Path(job.out, "_rejects").iterdir())
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.int64(), pa.uint64(), pa.decimal128(20, 0)),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.int64(), pa.string(), pa.string()),
        (pa.bool_(), pa.int64(), pa.string()),
        (pa.date32(), pa.timestamp("us"), pa.timestamp("us")),
        (pa.timestamp("s", "UTC"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.timestamp("s"), pa.timestamp("s", "UTC"), pa.string()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (pa.struct({"a": pa.int32()}), pa.struct({"b": pa.int64()}), pa.struct({"a": pa.int32(), "b": pa.int64()})),
        (pa.struct({"a": pa.int32()}), pa.int64(), pa.string()),
    ],
)
def test_common_type_has_all_values_of_both_types(first: pa.DataType, second: pa.DataType, common: pa.DataType) -> None:
    assert common_type(first, second) == common_type(*sorted([second, first], key=str)) == common


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1], pa.int32()), pa.array([2**40])),
        (pa.array([1.5], pa.float32()), pa.array([0.1])),
        (pa.array([1.5]).cast(pa.float16()), pa.array([1e10])),
        (pa.array([NOON.date()]), pa.array([NOON], pa.timestamp("us"))),
        (pa.array([{"a": 1}]), pa.array([{"a": 2, "b": 3}])),
        (pa.array([[1]], pa.list_(pa.int8())), pa.array([[2**40]])),
        (pa.array([True]), pa.array([7])),
        (pa.array([Decimal("1.5")]), pa.array([Decimal("12345678901234567890")])),
        (pa.array(["a"]), pa.array(["b"]).dictionary_encode()),
    ],
)
def test_files_with_different_types_lose_no_value_in_any_order(
    job: Job, first: pa.Array, second: pa.Array, reverse: bool
) -> None:
    add_values(job, "b.parquet" if reverse else "a.parquet", first)
    add_values(job, "a.parquet" if reverse else "b.parquet", second)
    values = embed(job)
    assert not rejected(job)
    types = common_type(plain_type(first.type), plain_type(second.type))
    (kept,) = {pq.read_schema(path).field("x").type for path in Path(job.out).glob("*.parquet")}
    assert kept == types
    for before, after in zip([*first, *second], reversed(values) if reverse else values, strict=True):
        expected = before.as_py()
        if isinstance(expected, dict):
            expected = {"a": None, "b": None, **expected}
        if isinstance(expected, datetime.date) and not isinstance(expected, datetime.datetime):
            expected = datetime.datetime.combine(expected, datetime.time())
        assert after == (json.dumps(expected) if isinstance(after, str) and expected != after else expected)


def test_values_without_a_common_type_are_rejected_one_by_one(job: Job) -> None:
    add_values(job, "a.parquet", pa.array([1.5, float("nan"), -0.0]))
    add_values(job, "b.parquet", pa.array([2**53 + 1, 7]))
    values = embed(job)
    assert str(values) == "[1.5, nan, -0.0, None, 7.0]"
    (line,) = rejected(job)
    assert (line["row"], line["reason"]) == (0, "'x' is not of type double: 9007199254740993")
    assert line["url"].endswith("b.parquet")
    assert all(row["embedding"] for row in read_rows(Path(job.out)))


@pytest.mark.parametrize("names", [("a.csv", "b.parquet"), ("b.csv", "a.parquet")])
def test_typed_files_decide_the_types_of_csv_columns(
    job: Job, names: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    Path(job.inputs[0], names[0]).write_text('text,x\n1,2\n1,\n1,007\n1,"three"\n')
    add_values(job, names[1], pa.array([1, None]))
    caplog.set_level(logging.INFO, "minilm_jax")
    assert sorted(map(str, embed(job))) == ["1", "2", "None", "None", "None", "None"]
    assert [line["reason"] for line in rejected(job)] == [
        f"'x' is not of type int64: {v}" for v in ('"007"', '"three"')
    ]
    assert re.search(r"column 'x' is (string|int64) in .*, (string|int64) in .*; it is stored as int64\.", caplog.text)
    Path(job.inputs[0], names[0]).unlink()
    embed_corpus(job, prune=True)  # The types of the other file have not changed.
    assert [row["x"] for row in read_rows(Path(job.out))] == [1, None]


def test_changed_types_are_explained_without_naming_an_unused_option(job: Job) -> None:
    add_values(job, "b.parquet", pa.array([1], pa.int32()))
    embed_corpus(job)
    add_input(job, "a.parquet", pa.table({"text": ["1"], "x": [2], "y": [3]}))
    out, new = job.out, f"{job.inputs[0]}/a.parquet"
    with pytest.raises(InputError) as error:
        embed_corpus(job)
    assert str(error.value) == (
        f"{out} was started with other columns: 'x' was int32, now int64 (int64 in {new},"
        f" int32 in {job.inputs[0]}/b.parquet), 'y' is new (int64 in {new})."
        " Pass the same inputs and, if it was given, the same --keep, or another folder with --out."
    )


def test_columns_of_all_files_are_kept_by_default(job: Job) -> None:
    add_input(job, "a.parquet", pa.table({"text": ["1"], "x": [2]}))
    add_input(job, "b.jsonl", pa.table({"text": ["1"], "y": ["z"]}))
    embed_corpus(job)
    assert [(row["x"], row["y"]) for row in read_rows(Path(job.out))] == [(2, None), (None, "z")]


def test_json_types_are_guesses_and_lose_to_typed_files(job: Job) -> None:
    add_values(job, "b.parquet", pa.array([NOON, NOON], pa.timestamp("us")))
    lines = [{"text": "1", "x": value} for value in ["2024-01-01T12:00:00", 5, None]]
    Path(job.inputs[0], "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert embed(job) == [NOON, None, None, NOON, NOON]
    assert [line["reason"] for line in rejected(job)] == ["'x' is not of type timestamp[us]: 5"]


@pytest.mark.parametrize("keep", [None, ("x",)])
def test_json_column_that_starts_after_the_first_rows_is_kept_or_reported(
    job: Job, keep: tuple[str, ...] | None
) -> None:
    lines = [{"text": "1", "x": i} if i % 500 == 3 and i > 1_024 else {"text": "1"} for i in range(2_000)]
    Path(job.inputs[0], "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    embed_corpus(dataclasses.replace(job, keep=keep, shard_rows=3_000))
    if keep:
        assert [row["x"] for row in read_rows(Path(job.out)) if row["x"]] == [1_503]
        return
    (line,) = rejected(job)
    assert (line["row"], line["reason"]) == (
        1_503,
        "'x' is not kept, because the first 1,024 rows do not have it; pass it with --keep",
    )


def test_json_column_that_another_file_has_is_kept_in_all_rows(job: Job) -> None:
    add_values(job, "b.parquet", pa.array([1]))
    lines = [{"text": "1"}] * 1_100 + [{"text": "1", "x": 2}]
    Path(job.inputs[0], "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [value for value in embed(job) if value] == [2, 1]
    assert not rejected(job)


DICTIONARY = pa.array(["a", "b", None, "b"]).dictionary_encode()
PACKED = [
    DICTIONARY,
    DICTIONARY[1:],
    pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.uint32()), pa.array(["a", "b"], pa.string_view())),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(["a", None])),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array([{"k": 1}, {"k": 2}])),
    pa.array(["a", None], pa.string_view()),
    pa.array([b"a", None], pa.binary_view()),
    pc.call_function("run_end_encode", [pa.array([1, 1, None, 2])]),
    pc.call_function("run_end_encode", [pa.array([1, 1, None, 2])])[1:3],
    pa.ListArray.from_arrays(pa.array([0, None, 1, 4], pa.int32()), DICTIONARY)[1:],
    pa.FixedSizeListArray.from_arrays(DICTIONARY, 2, mask=pa.array([True, False])),
    pa.StructArray.from_arrays([DICTIONARY], ["k"], mask=pa.array([True, False, False, False]))[:3],
    pa.MapArray.from_arrays(pa.array([0, None, 1, 4], pa.int32()), pa.array(list("klmn")), DICTIONARY)[1:],
    pa.array([["a"], None, ["b", "c"]], pa.list_view(pa.string())),
    pa.array([["a"], None, ["b", "c"]], pa.large_list_view(pa.string_view()))[1:],
]


@pytest.mark.parametrize("array", PACKED, ids=lambda array: str(array.type))
def test_dictionaries_runs_and_views_are_decoded_at_any_depth(array: pa.Array) -> None:
    plain = to_plain(array)
    plain.validate(full=True)
    assert plain.type == plain_type(array.type) == plain_type(plain.type)
    if not pa.types.is_dictionary(array.type):
        assert plain.to_pylist() == array.to_pylist()
    else:
        assert plain.to_pylist() == [value.as_py() for value in array]


REQUIRED = pa.field("v", pa.int64(), nullable=False)


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ({"v": 1}, pa.struct([REQUIRED])),
        ([1], pa.list_(REQUIRED)),
        ([1, 2], pa.list_(REQUIRED, 2)),
        ([("k", 1)], pa.map_(pa.string(), REQUIRED)),
        ([{"v": 1}], pa.list_(pa.field("s", pa.struct([REQUIRED]), nullable=False))),
    ],
    ids=str,
)
def test_required_fields_become_nullable_as_rejected_values_are_null(job: Job, value: Any, type: pa.DataType) -> None:
    column = pa.array([value], type)
    assert to_plain(column).type == plain_type(type) == plain_type(plain_type(type))
    add_input(job, "a.parquet", pa.table({"text": ["0"], "x": column}))
    Path(job.inputs[0], "b.jsonl").write_text('{"text": "1", "x": "other"}\n{"text": "2"}\n{"text": "3", "x": {}}\n')
    embed_corpus(job)
    rows = read_rows(Path(job.out))
    assert [row["text"] for row in rows] == list("0123")
    assert [row["x"] for row in rows[:3]] == [value, None, None]


def write_batches(path: Path, batches: list[pa.RecordBatch], **options: Any) -> None:
    open_writer = ipc.new_stream if path.suffix == ".arrows" else ipc.new_file
    with open_writer(path, batches[0].schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)


def dictionary_batch(values: list[str], first: int, index: pa.DataType, type: pa.DataType) -> pa.RecordBatch:
    column = pa.DictionaryArray.from_arrays(pa.array(range(first, len(values)), index), pa.array(values, type))
    nested = pa.StructArray.from_arrays([column], ["k"])
    return pa.record_batch({"text": column, "x": column, "nested": nested})


@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
@pytest.mark.parametrize("name", ["in.arrow", "in.arrows"])
def test_dictionaries_that_change_between_batches_are_decoded(job: Job, name: str, type: pa.DataType) -> None:
    """Deltas extend a dictionary; only the stream format can also replace it."""
    words = [str(i) for i in range(300)]
    stops = [100, 200, 300]
    batches = [dictionary_batch(words[:stop], stop - 100, pa.int16(), type) for stop in stops]
    if name == "in.arrows":
        batches.append(dictionary_batch(words[::-1], 0, pa.int16(), type))
    write_batches(Path(job.inputs[0], name), batches, emit_dictionary_deltas=True)
    embed_corpus(dataclasses.replace(job, shard_rows=1_000))
    rows = read_rows(Path(job.out))
    expected = words + (words[::-1] if name == "in.arrows" else [])
    assert [row["x"] for row in rows] == [row["text"] for row in rows] == expected
    assert [row["nested"]["k"] for row in rows] == expected
    assert all(row["embedding"] for row in rows)


def test_categories_of_many_chunks_fit_into_one_shard(job: Job) -> None:
    words = [f"{i:03}" for i in range(300)]
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), pa.array(words[i : i + 100]))
        for i in (0, 100, 200)
    ]
    write_batches(Path(job.inputs[0], "in.arrows"), [pa.record_batch({"text": chunk, "x": chunk}) for chunk in chunks])
    assert embed(job) == words


def test_partition_names_are_decoded() -> None:
    url = "s3://bucket/year=2024/month=01/a%20b=x%2Fy=z/none=__HIVE_DEFAULT_PARTITION__/=odd/plain/k=5.parquet"
    types = {"year": pa.int32(), "month": pa.int32(), "a b": pa.string(), "none": pa.null()}
    assert partition_fields(url) == [pa.field(*item) for item in types.items()]
    assert partition_values(url, pa.schema(types)) == {"year": "2024", "month": "1", "a b": "x/y=z", "none": None}
    assert partition_values(url, pa.schema({"month": pa.string()}))["month"] == "01"
    assert [field.type for field in partition_fields("/big=3000000000/x.csv")] == [pa.int64()]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.jsonl", "x.csv"])
@pytest.mark.parametrize("keep", [None, ("lang", "year")])
def test_partitions_of_folders_are_columns(job: Job, name: str, keep: tuple[str, ...] | None) -> None:
    folders = ["year=2023/lang=de", "year=2024/lang=__HIVE_DEFAULT_PARTITION__", "year=2024/lang=en%20US"]
    for i, folder in enumerate(folders):
        path = Path(job.inputs[0], folder, name)
        path.parent.mkdir(parents=True)
        write_table(path, number_table([i]))
    embed_corpus(dataclasses.replace(job, keep=keep))
    rows = sorted(read_rows(Path(job.out)), key=lambda row: (row["year"], row["lang"] or ""))
    assert [(row["year"], row["lang"]) for row in rows] == [(2023, "de"), (2024, None), (2024, "en US")]
    assert all(row["embedding"] for row in rows)
    (columns,) = {tuple(row) for row in rows}
    assert columns == ((*keep, "embedding") if keep else ("id", "text", "year", "lang", "embedding"))


def test_column_of_a_file_takes_precedence_over_its_folder(job: Job) -> None:
    path = Path(job.inputs[0], "x=1", "in.parquet")
    path.parent.mkdir()
    write_table(path, pa.table({"text": ["1"], "x": ["own"]}))
    assert embed(job) == ["own"]


def test_plan_states_no_type_that_depends_on_the_order_of_files(job: Job) -> None:
    types = [pa.int32(), pa.null(), pa.uint64(), pa.string(), pa.float64()]
    found = set()
    for order in itertools.permutations(types[:3]):
        for number, type in enumerate(order):
            add_values(job, f"{number}.parquet", pa.nulls(1, type))
        found.add(plan(job)[0].columns.field("x").type)
    assert found == {pa.decimal128(20, 0)}


def test_json_values_of_mixed_types_are_cast_one_by_one(job: Job) -> None:
    add_values(job, "a.parquet", pa.array([0.5]))
    values = [1, 1.5, 2**53 + 1, "2.5", True, [1], 2**70, {"k": 2**70}, None]
    Path(job.inputs[0], "b.jsonl").write_text("\n".join(json.dumps({"text": "1", "x": value}) for value in values))
    assert embed(job) == [0.5, 1.0, 1.5, None, 2.5, 1.0, None, None, None, None]
    assert [line["row"] for line in rejected(job)] == [2, 5, 6, 7]
