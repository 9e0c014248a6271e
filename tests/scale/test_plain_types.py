"""Columns of dictionaries, runs, views and required fields: decoded to plain columns, which every reader supports."""

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import ipc

from minilm_jax.scale.job import Job
from minilm_jax.scale.plain_types import plain_type, to_plain
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import add_input, read_rows

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
    embed_corpus(job)
    assert [row["x"] for row in read_rows(Path(job.out))] == words
