"""The parser of JSON lines and CSV: line numbers, problems, and rows of any length."""

import csv

import pytest

from minilm_jax.files.rows import Row, csv_rows, json_rows

LONG = "x" * 200_000  # Longer than the csv module's default limit of 131,072 characters per field.


def test_json_rows_report_the_problem_and_line_of_each_bad_row() -> None:
    rows = list(json_rows(iter(['{"a": 1}\n', "\n", "[1]\n", '{"a"\n', '{"a": 2}'])))
    assert [row.line for row in rows] == [1, 3, 4, 5]
    assert [row.values for row in rows] == [{"a": 1}, {}, {}, {"a": 2}]
    assert [bool(row.problem) for row in rows] == [False, True, True, False]


def test_csv_row_has_the_number_of_its_last_line() -> None:
    lines = iter(["a,b\n", '1,"2\n', '3"\n', "\n", "4,5\n"])
    assert list(csv_rows(lines)) == [Row(1, ["a", "b"]), Row(3, ["1", "2\n3"]), Row(5, ["4", "5"])]


def test_csv_rows_continue_after_a_bad_row() -> None:
    header, bad, good = csv_rows(iter(["a\n", '"x"y\n', "z\n"]))
    assert (header.values, good) == (["a"], Row(3, ["z"]))
    assert bad.line == 2
    assert bad.problem is not None
    assert bad.problem.startswith("not CSV: ")


@pytest.mark.parametrize("limit", [None, 2**24])
def test_csv_field_may_be_longer_than_the_default_limit_of_the_csv_module(limit: int | None) -> None:
    csv.field_size_limit(131_072)
    assert list(csv_rows(iter(["a\n", f"{LONG}\n"]), limit)) == [Row(1, ["a"]), Row(2, [LONG])]


def test_interleaved_csv_readers_keep_their_own_limits() -> None:
    limited, unlimited = csv_rows(iter(["a\n", LONG, "b\n"]), 100), csv_rows(iter(["a\n", LONG]))
    assert next(limited) == next(unlimited) == Row(1, ["a"])
    assert next(limited) == Row(2, [], "not CSV: a row of more than 100 characters; is a quote not closed?")
    assert next(unlimited) == Row(2, [LONG])
    assert next(limited) == Row(3, ["b"])


def test_limit_of_a_row_grows_with_its_columns() -> None:
    header, row, long = csv_rows(iter(["a,b\n", f"{'x' * 30},{'y' * 30}\n", f"{'x' * 70},{'y' * 70}\n"]), 50)
    assert header.values == ["a", "b"]
    assert row.values == ["x" * 30, "y" * 30]
    assert long.problem == "not CSV: a row of more than 100 characters; is a quote not closed?"


def test_unclosed_quote_loses_only_the_rows_up_to_the_limit() -> None:
    lines = ["a\n", '"open\n', *(f"{i}\n" for i in range(100))]
    header, bad, *rest = csv_rows(iter(lines), 50)
    assert header.values == ["a"]
    assert bad.problem is not None
    assert bad.problem.startswith("not CSV: a row of more than 50 characters")
    assert [row.values for row in rest] == [[str(i)] for i in range(bad.line - 2, 100)]
    assert bad.line < 30
