"""Vector files: exact round trips, atomic replacement, and errors before anything is written."""

import csv
import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import BinaryIO, cast, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from minilm_jax.config import VectorFormat
from minilm_jax.errors import InputError
from minilm_jax.files.vectors import FORMATS, open_writer

TEXTS = ["plain", 'quotes " and, commas', "two\nlines\r\n", "", "\u2028 🦊 \x00"]
SCALES = np.array([[1e-9], [1], [1], [1e3], [1]], np.float32)
VECTORS = np.random.default_rng(0).standard_normal((5, 7), np.float32) * SCALES


def write(path: Path, format: VectorFormat, texts=TEXTS, vectors=VECTORS) -> None:
    with open_writer(path, format) as append:
        append(texts[:3], vectors[:3])
        append(texts[3:], vectors[3:])


def read(path: Path, format: VectorFormat) -> tuple[list[str], np.ndarray]:
    if format == "npy":
        return TEXTS, np.load(path)
    if format == "npz":
        return TEXTS, np.load(path)["embeddings"]
    if format == "parquet":
        table = pq.read_table(path)
        return table["text"].to_pylist(), np.array(table["embedding"].to_pylist(), np.float32)
    if format == "jsonl":
        records = list(map(json.loads, path.read_bytes().splitlines()))
        return [record["text"] for record in records], np.array([r["embedding"] for r in records], np.float32)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == ["text", "e0", "e1", "e2", "e3", "e4", "e5", "e6"]
    return [row[0] for row in rows[1:]], np.array([row[1:] for row in rows[1:]], np.float32)


@pytest.mark.parametrize("format", FORMATS.values())
def test_written_vectors_read_back_bit_for_bit(tmp_path, format):
    path = tmp_path / "out"
    write(path, format)
    texts, vectors = read(path, format)
    assert texts == TEXTS
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("format", FORMATS.values())
def test_file_without_texts_still_has_the_width(tmp_path, format):
    path = tmp_path / "out"
    write(path, format, [], VECTORS[:0])
    if format in ("npy", "npz"):
        assert read(path, format)[1].shape == (0, 7)
    elif format == "parquet":
        assert str(pq.read_schema(path).field("embedding").type) == "fixed_size_list<element: float>[7]"
        assert pq.read_table(path).num_rows == 0
    else:
        assert path.read_text() == ("" if format == "jsonl" else "text,e0,e1,e2,e3,e4,e5,e6\n")


def test_npy_header_has_the_same_size_for_any_number_of_rows():
    def header(rows: int) -> int:
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, 384)})
        return file.tell()

    assert {header(10**power) for power in range(13)} | {header(0)} == {128}


@pytest.mark.parametrize("format", FORMATS.values())
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_failed_write_keeps_the_existing_file(tmp_path, format, error):
    path = tmp_path / "out"
    path.write_text("before")

    def fail() -> None:
        with open_writer(path, format) as append:
            append(TEXTS, VECTORS)
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["out"]


class FullDisk(io.BytesIO):
    def write(self, data) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("format", FORMATS.values())
def test_full_disk_leaves_no_file(tmp_path, format, monkeypatch):
    def opened(self, mode):
        self.touch()
        disk = FullDisk()
        disk.name = str(self)
        return disk

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "out", format)
    assert os.listdir(tmp_path) == []


def test_writing_to_a_symbolic_link_keeps_the_link_and_the_permissions(tmp_path):
    real, link = tmp_path / "real.npy", tmp_path / "link.npy"
    real.touch(mode=0o600)
    link.symlink_to(real)
    write(link, "npy")
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    np.testing.assert_array_equal(np.load(real), VECTORS)


def test_target_in_a_missing_folder_or_not_a_file_is_rejected(tmp_path):
    with pytest.raises(InputError, match="does not exist; create it first"), open_writer(tmp_path / "no/out", "npy"):
        pass
    with pytest.raises(InputError, match="is not a regular file"), open_writer(Path(os.devnull), "npy"):
        pass


def test_parquet_without_pyarrow_names_the_extra_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(InputError, match=r"pip install 'minilm-jax\[parquet\]'"),
        open_writer(tmp_path / "o", "parquet"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_stream_is_written_and_left_open():
    stream = io.BytesIO()
    with open_writer(cast(BinaryIO, stream), "jsonl") as append:
        append(["a"], VECTORS[:1])
    assert json.loads(stream.getvalue())["text"] == "a"


def test_every_vector_format_has_a_suffix():
    assert set(FORMATS.values()) == set(get_args(VectorFormat))
