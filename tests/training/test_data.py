"""Rows of training data from Python values and files; a bad row is named by its number."""

import json
from pathlib import Path

import numpy as np
import pytest

from minilm_jax.errors import InputError
from minilm_jax.training import TrainingData


def test_tuples_have_texts_and_an_optional_label() -> None:
    data = TrainingData.from_rows([("a", "b", 1), ("c", "d", 0)])
    assert {name: [*texts] for name, texts in data.columns.items()} == {"text1": ["a", "c"], "text2": ["b", "d"]}
    assert data.labels is not None
    assert data.labels.dtype == np.int32
    assert TrainingData.from_rows([("a", "b")]).labels is None


def test_label_column_is_found_by_name_and_the_others_keep_their_order() -> None:
    data = TrainingData.from_rows([{"score": 0.5, "b": "x", "a": "y"}])
    assert [*data.columns] == ["b", "a"]
    assert data.labels is not None
    assert data.labels.tolist() == [0.5]


def test_lists_of_negatives_become_columns() -> None:
    data = TrainingData.from_rows([{"query": "q", "positive": "p", "negatives": ["n", "m"]}])
    assert [*data.columns] == ["query", "positive", "negatives_1", "negatives_2"]


def test_named_columns_leave_out_ids() -> None:
    rows = [{"id": 7, "query": "q", "answer": "a", "grade": "0.5"}]
    data = TrainingData.from_rows(rows, columns=["answer", "query"], label="grade")
    assert [*data.columns] == ["answer", "query"]
    assert data.labels is not None


def _write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_data(suffix: str, tmp_path: Path) -> None:
    rows = [{"query": "what?", "answer": "this", "label": 1}, {"query": "who?", "answer": "she", "label": 0}]
    data = TrainingData.from_file(_write(tmp_path / f"rows{suffix}", rows))
    assert [*data.columns["query"]] == ["what?", "who?"]
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0]
    assert data.labels.dtype == np.int32
    assert data.source == f"rows{suffix}"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        (["text"], "row 1 is 'text'"),
        ([("a", "b"), ("a", None)], "row 2: 'text2' is None"),
        ([("a", "b", 1.0), ("a", "b", float("nan"))], "row 2: 'label' is nan"),
        ([("a", "b"), ("a", "b", "c")], "row 2 has text1, text2, text3"),
        ([("a", "b"), ("a", " ")], "row 2: 'text2' is ' '"),
        ([{"a": "x", "label": "y"}], "row 1: 'label' is 'y'"),
        ([{"a": "x", "scores": [1, 2]}, {"a": "x", "scores": [1]}], "different lengths"),
    ],
)
def test_bad_rows_are_named(rows: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainingData.from_rows(rows)


def test_bad_row_of_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "x", "b": "y"}\n{"a": "x"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl, line 2 has a; the first row has a, b"):
        TrainingData.from_file(path)
    with pytest.raises(InputError, match="suffix"):
        TrainingData.from_file(tmp_path / "rows.doc")
    with pytest.raises(InputError, match="No such file"):
        TrainingData.from_file(tmp_path / "missing.jsonl")


def test_repeated_column_and_damaged_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("a,a\nx,y\n")
    with pytest.raises(InputError, match=r"twice\.csv, line 1: 2 columns are named 'a'"):
        TrainingData.from_file(tmp_path / "twice.csv")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"damaged\.parquet, the file cannot be read"):
        TrainingData.from_file(tmp_path / "damaged.parquet")
