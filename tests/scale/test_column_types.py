"""Types of columns that differ between files: the common type, and values that do not have it."""

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
import pyarrow.parquet as pq
import pytest

from minilm_jax.errors import InputError
from minilm_jax.scale.column_types import common_type
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import plan
from minilm_jax.scale.plain_types import plain_type
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import add_input, read_rows

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
