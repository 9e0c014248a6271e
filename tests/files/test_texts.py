"""Texts from lines, JSON lines and CSV: parsing, errors that name the line, laziness and chunks."""

import datetime
import gzip
import io
import itertools
import json
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minilm_jax.config import TextFormat
from minilm_jax.errors import InputError
from minilm_jax.files.texts import chunked, read_texts


def texts(data: bytes, format: TextFormat, field: str = "text") -> list[str]:
    return list(read_texts(io.BytesIO(data), format, field))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\n b \n", ["a", "", " b "]),
        (b"a\r\nb\rc", ["a", "b", "c"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        ("a\u2028b\x0bc\x00\n🦊".encode(), ["a\u2028b\x0bc\x00", "🦊"]),
    ],
)
def test_txt_file_has_one_text_per_line(data, expected):
    assert texts(data, "txt") == expected


def test_json_lines_have_one_text_per_object():
    assert texts(b'{"text": "a\\nb"}\r\n\n  \n{"x": 1, "text": ""}', "jsonl") == ["a\nb", ""]
    assert texts(b'{"body": "a"}', "jsonl", "body") == ["a"]


def test_csv_texts_come_from_the_named_column():
    assert texts(b'id,text\n1,"a, ""b""\nc"\n\n2,\r\n', "csv") == ['a, "b"\nc', ""]
    assert texts(b"text,id\n" + b"x" * 200_000 + b",1\n", "csv") == ["x" * 200_000]
    assert texts(b"", "csv") == []
    assert texts(b"id,,,text\n1,,,a\n", "csv") == ["a"]
    assert texts(b"id\ttext\n1\ta,b\n", "tsv") == ["a,b"]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \n", b"\t\n\n", b",\n", b'""\n', b"\xef\xbb\xbf\n"])
def test_csv_may_begin_with_blank_lines(blank):
    assert texts(blank + b"id,text\n1,a\n", "csv") == ["a"]


def parquet(column: pa.Array) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(column)), "text": column}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "é"]),
        pa.array(["a", "é"], pa.large_string()),
        pa.array(["a", "é"], pa.string_view()),
        pa.array([b"a", "é".encode()]),
        pa.array(["a", "é"]).dictionary_encode(),
    ],
)
def test_parquet_column_may_have_any_type_of_string(column):
    assert texts(parquet(column), "parquet") == ["a", "é"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, 2]), "<stdin>, column 'text' does not hold strings."),
        (pa.array([["a"], ["b"]]), "<stdin>, column 'text' does not hold strings."),
        (pa.array([{"text": "a"}]), "<stdin>, column 'text' does not hold strings."),
        (pa.array([True]), "<stdin>, column 'text' does not hold strings."),
        (pa.array([datetime.date(2000, 1, 1)]), "<stdin>, column 'text' does not hold strings."),
        (pa.array([1, 2]).dictionary_encode(), "<stdin>, column 'text' does not hold strings."),
        (pa.array(["a", None]), "<stdin>, row 2: 'text' is null, not a string."),
        (pa.array([b"a", b"\xff"]), "<stdin>, row 2: 'text' is not valid Unicode"),
    ],
)
def test_parquet_errors_name_the_column_or_the_row(column, message):
    with pytest.raises(InputError) as caught:
        texts(parquet(column), "parquet")
    assert str(caught.value).startswith(message)


def test_parquet_needs_a_file_and_a_column_of_one_name(tmp_path):
    with pytest.raises(InputError, match="no column 'body'; available: 'id', 'text'"):
        texts(parquet(pa.array(["a"])), "parquet", "body")
    pq.write_table(pa.table([["a"], ["b"]], ["text", "text"]), tmp_path / "t.parquet")
    with (tmp_path / "t.parquet").open("rb") as file, pytest.raises(InputError, match="2 columns are named 'text'"):
        list(read_texts(file, "parquet"))


@pytest.mark.parametrize(
    ("data", "format", "message"),
    [
        (b"good\nb\xe9d\n", "txt", "line 2: byte 0xE9 is not UTF-8"),
        (b'text\n"a\nb"\n\xff\n', "csv", "line 4: byte 0xFF is not UTF-8"),
        (b'{"text": "a"}\n{"text": \n', "jsonl", "line 2: not JSON: Expecting value at column"),
        (b"[" * 100_000, "jsonl", "line 1: cannot be parsed as JSON"),
        (b"9" * 5_000, "jsonl", "line 1: cannot be parsed as JSON"),
        (b'["text"]', "jsonl", "line 1: an array, not an object"),
        (b'{"id": 1, "txet": "a"}', "jsonl", "no field 'text'; available: 'id', 'txet'. Did you mean 'txet'?"),
        (b"{}", "jsonl", "no field 'text'; available: none."),
        (b'{"text": null}', "jsonl", "line 1: 'text' is null, not a string."),
        (b'{"text": true}', "jsonl", "line 1: 'text' is a boolean"),
        (b'{"text": "\\ud83d"}', "jsonl", "half a surrogate pair"),
        (b"id,Text\n", "csv", "line 1: no column 'text'; available: 'id', 'Text'. Did you mean 'Text'?"),
        (b"id,text\n1,a\n2\n", "csv", "line 3: not CSV: 1 values for 2 columns."),
        (b"id,text\n1,a, b\n", "csv", "line 2: not CSV: 3 values for 2 columns; enclose values that contain ','"),
        (b"text,id\n1,2,3\n", "csv", "line 2: not CSV: 3 values for 2 columns"),
        (b"text,id,text\n", "csv", "line 1: 2 columns are named 'text'; rename all but one."),
        (b'{"text": "a", "text": "b"}', "jsonl", "line 1: cannot be parsed as JSON: the key 'text' occurs twice"),
        (b'{"\\ud800": 1, "text": "b"}', "jsonl", "line 1: the key '\\ud800' is not valid Unicode"),
        (b"\n\nid;text\n", "csv", "line 3: the header is one column, 'id;text'; pass --delimiter ';'."),
        (b"id,text\n", "tsv", "line 1: the header is one column, 'id,text'; pass --delimiter ','."),
        ("text\na\n".encode("utf-16"), "csv", "line 1: the file is UTF-16, not UTF-8; convert it with iconv"),
        ("text\na\n".encode("utf-16-le"), "csv", "--from-code utf-16le"),
        ("a\n".encode("utf-16-be"), "txt", "--from-code utf-16be"),
        ('{"text": "a"}'.encode("utf-32"), "jsonl", "line 1: the file is UTF-32"),
        (gzip.compress(b"text\na\n", mtime=0), "csv", "line 1: the file is compressed with gzip; decompress it first"),
        (b"PK\x03\x04", "csv", "line 1: the file is a zip archive or a spreadsheet"),
        (b"PAR1", "txt", "line 1: the file is Parquet; name its format with --from parquet"),
        (b"text", "parquet", "the file cannot be read: "),
        (b'id,text\n1,"open\n', "csv", "line 2: not CSV"),
    ],
)
def test_error_names_the_line_and_the_problem(data, format, message):
    with pytest.raises(InputError) as caught:
        texts(data, format)
    assert str(caught.value).startswith("<stdin>, " if format == "parquet" else "<stdin>, line ")
    assert message in str(caught.value)


def test_error_names_the_file(tmp_path):
    path = tmp_path / "wrong.jsonl"
    path.write_text("nonsense")
    with path.open("rb") as file, pytest.raises(InputError, match=r"wrong\.jsonl, line 1: not JSON"):
        list(read_texts(file, "jsonl"))


class Endless(io.RawIOBase):
    """An endless file that counts the bytes read from it."""

    bytes_read = 0

    def __init__(self, line: bytes) -> None:
        self.lines = itertools.cycle(line * 100)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        buffer[:] = bytes(itertools.islice(self.lines, len(buffer)))
        self.bytes_read += len(buffer)
        return len(buffer)


@pytest.mark.parametrize(
    ("format", "line"),
    [("txt", b"text\n"), ("jsonl", json.dumps({"text": "text"}).encode() + b"\n"), ("csv", b"text\n")],
)
def test_texts_are_read_lazily(format, line):
    file = Endless(line)
    reader = read_texts(cast(BinaryIO, io.BufferedReader(file)), format)
    assert list(itertools.islice(reader, 1_000)) == ["text"] * 1_000
    assert file.bytes_read < 100_000


def test_file_position_follows_the_texts_that_were_read(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"0123456789\n" * 200_000)
    with path.open("rb") as file:
        for index, _ in enumerate(read_texts(file, "txt"), 1):
            assert 0 <= file.tell() - 11 * index <= 20_000
        assert not file.closed


def test_chunks_have_a_maximum_of_texts_and_of_characters():
    assert list(chunked([])) == [[]]
    assert list(map(len, chunked(["a"] * 200_000)))[:2] == [4_096, 4_096]
    assert list(map(len, chunked(["a" * 10_000_000] * 5))) == [2, 2, 1]
    assert list(itertools.chain.from_iterable(chunked(map(str, range(10_000))))) == list(map(str, range(10_000)))
