"""Tables of the csv and json modules are read back exactly, and any bytes give texts or an InputError."""

import csv
import io
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from minilm_jax.config import TextFormat
from minilm_jax.errors import InputError
from minilm_jax.files.rows import csv_rows, json_rows
from minilm_jax.files.texts import read_texts

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True, database=None)

# A byte order mark at the start of a file is not part of its first value.
VALUES = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda value: not value.startswith("\ufeff"))
DELIMITERS = st.sampled_from(",;\t|")
WIDTHS = st.integers(1, 4)


class NamedBytes(io.BytesIO):
    """A file in memory with a name, as files on disk have."""

    name: str


def named(data: bytes, name: str = "x.data") -> NamedBytes:
    file = NamedBytes(data)
    file.name = name
    return file


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """A table whose first row is a header with distinct names that are not all blank."""
    width = draw(WIDTHS)
    header = draw(
        st.lists(VALUES, min_size=width, max_size=width, unique=True).filter(lambda h: any(map(str.strip, h)))
    )
    return [header, *draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=5))]


def written(table: list[list[str]], delimiter: str, line_end: str) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(table)
    return file.getvalue()


@SETTINGS
@given(tables(), DELIMITERS, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_csv_is_read_as_the_csv_module_wrote_it(
    table: list[list[str]], delimiter: str, line_end: str, byte_order_mark: bool
) -> None:
    data = written(table, delimiter, line_end).encode("utf-8-sig" if byte_order_mark else "utf-8")
    for column, name in enumerate(table[0]):
        assert list(read_texts(named(data), "csv", name, delimiter)) == [row[column] for row in table[1:]]


@SETTINGS
@given(tables(), DELIMITERS)
def test_csv_rows_are_those_of_the_csv_module(table: list[list[str]], delimiter: str) -> None:
    lines = io.StringIO(written(table, delimiter, "\n"), newline="")
    rows = list(csv_rows(lines, delimiter=delimiter))
    assert [row.values for row in rows] == table
    assert not any(row.problem for row in rows)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VALUES, inner, max_size=3),
    max_leaves=5,
)


@SETTINGS
@given(st.lists(st.dictionaries(VALUES, JSON_VALUES), max_size=4), st.booleans())
def test_json_rows_are_those_that_the_json_module_wrote(objects: list[dict[str, object]], ascii: bool) -> None:
    lines = [json.dumps(each, ensure_ascii=ascii) + "\n" for each in objects]
    assert [row.values for row in json_rows(iter(lines))] == objects


@SETTINGS
@given(st.lists(VALUES, max_size=5), st.booleans())
def test_json_texts_are_those_that_the_json_module_wrote(texts: list[str], ascii: bool) -> None:
    data = "".join(json.dumps({"id": 1, "text": text}, ensure_ascii=ascii) + "\n" for text in texts).encode()
    assert list(read_texts(named(data), "jsonl")) == texts


@SETTINGS
@given(st.lists(VALUES, max_size=5))
def test_parquet_texts_are_those_that_pyarrow_wrote(texts: list[str]) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(texts)), "text": pa.array(texts, pa.string())}), file)
    assert list(read_texts(named(file.getvalue()), "parquet")) == texts


def error_of(data: bytes, format: TextFormat) -> str | None:
    """Return the message of the InputError, or None if all texts are valid Unicode."""
    try:
        for text in read_texts(named(data), format):
            text.encode()
    except InputError as error:
        return str(error)
    return None


FRAGMENTS = st.sampled_from(
    [b"text", b'"', b",", b";", b"\n", b"\r", b"\0", b"{", b"}", b":", b"[", b"\\", b"\\ud800", b"null", b"\xff\xfe"]
)
FORMATS: list[TextFormat] = ["txt", "jsonl", "csv", "tsv", "parquet"]


@pytest.mark.parametrize("format", FORMATS)
@SETTINGS
@given(data=st.binary() | st.lists(FRAGMENTS | st.binary(max_size=3), max_size=12).map(b"".join))
def test_any_bytes_give_texts_or_an_error_with_file_and_line(format: TextFormat, data: bytes) -> None:
    error = error_of(data, format)
    place = "the file cannot be read: " if format == "parquet" else r"line \d+: "
    assert error is None or re.match(rf"x\.data, {place}", error)


@pytest.mark.parametrize("format", FORMATS[1:4])
@SETTINGS
@given(data=st.lists(FRAGMENTS | st.binary(max_size=3), max_size=12).map(b"".join))
def test_any_bytes_after_a_valid_beginning_give_texts_or_an_error_with_file_and_line(
    format: TextFormat, data: bytes
) -> None:
    start = b'{"text": "a"}\n' if format == "jsonl" else b"text\na\n"
    assert next(read_texts(named(start + data), format)) == "a"
    error = error_of(start + data, format)
    assert error is None or int(error.removeprefix("x.data, line ").split(":")[0]) >= 2
