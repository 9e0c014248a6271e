"""Embeddings into files, a chunk at a time: npy, npz, Parquet, JSON lines and CSV, each written whole or not at all."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minilm_jax.atomic_files import atomic_write
from minilm_jax.config import VectorFormat
from minilm_jax.errors import InputError

FORMATS: Mapping[str, VectorFormat] = {f".{name}": name for name in ("npy", "npz", "parquet", "jsonl", "csv")}
STREAM_FORMATS: Sequence[VectorFormat] = ("jsonl", "csv")

# Appends texts and their vectors float32[n, D].
Write = Callable[[Sequence[str], NDArray[np.float32]], object]


@contextlib.contextmanager
def open_writer(target: Path | BinaryIO, format: VectorFormat) -> Iterator[Write]:
    """Opens a file for embeddings; it takes its place when the block ends well, and leaves nothing behind otherwise.

    Args:
        target: Where to; or an open stream, for one of STREAM_FORMATS.
        format: "npy": float32[n, D]. "npz": the same, named `embeddings`. "parquet": columns text and embedding.
            "jsonl": objects with text and embedding. "csv": columns text, e0, e1, …, which `pandas.read_csv` makes
            numbers of without more ado; a single column of lists would stay a string.

    Yields:
        The function to append with. Call it at least once, if with no rows, so that the width is known.

    Raises:
        InputError: The target is in no folder or no plain file, or its format needs a package that is not installed.
        OSError: The target cannot be written.
    """
    with _replacing(target) if isinstance(target, Path) else contextlib.nullcontext(target) as file:
        with _WRITERS[format](file) as write:
            yield write
        file.flush()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    path = path.resolve()  # What a link points at is replaced, not the link.
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder; create it first.")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no plain file.")
    with atomic_write(path) as written, written.open("w+b") as file:
        yield file
        file.close()  # Before it is moved.


@contextlib.contextmanager
def _npy(file: BinaryIO) -> Iterator[Write]:
    shape = (0, 0)

    def write(texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        nonlocal shape
        if shape == (0, 0):
            _write_npy_header(file, (0, vectors.shape[1]))
        shape = (shape[0] + len(vectors), vectors.shape[1])
        file.write(np.ascontiguousarray(vectors, "<f4").data)

    yield write
    # numpy pads the header so that it keeps its size whatever the number of rows becomes.
    file.seek(0)
    _write_npy_header(file, shape)


def _write_npy_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _npz(file: BinaryIO) -> Iterator[Write]:
    import zipfile

    # A member of an archive cannot be patched, so the array is made beside it, in a file that has no name to leave.
    with tempfile.TemporaryFile(dir=os.path.dirname(file.name)) as array:
        with _npy(array) as write:
            yield write
        array.seek(0)
        with zipfile.ZipFile(file, "w") as archive, archive.open("embeddings.npy", "w", force_zip64=True) as member:
            shutil.copyfileobj(array, member)


@contextlib.contextmanager
def _parquet(file: BinaryIO) -> Iterator[Write]:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise InputError("Parquet files need pyarrow: pip install 'minilm-jax[parquet]'") from None

    with contextlib.ExitStack() as stack:
        writer: Any = None

        def write(texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
            nonlocal writer
            embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
            table = pa.table({"text": pa.array(texts, pa.string()), "embedding": embedding})
            writer = writer or stack.enter_context(ParquetWriter(file, table.schema))
            writer.write_table(table)

        yield write


@contextlib.contextmanager
def _jsonl(file: BinaryIO) -> Iterator[Write]:
    def write(texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        for text, numbers in zip(texts, _decimals(vectors), strict=True):
            file.write(f'{{"text": {json.dumps(text, ensure_ascii=False)}, "embedding": [{numbers}]}}\n'.encode())

    yield write


@contextlib.contextmanager
def _csv(file: BinaryIO) -> Iterator[Write]:
    header = True

    def write(texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        nonlocal header
        if header:
            file.write(",".join(["text", *(f"e{i}" for i in range(vectors.shape[1]))]).encode() + b"\n")
            header = False
        for text, numbers in zip(texts, _decimals(vectors), strict=True):
            quoted = text.replace('"', '""')
            file.write(f'"{quoted}",{numbers}\n'.encode())

    yield write


def _decimals(vectors: NDArray[np.float32]) -> Iterator[str]:
    # Nine significant digits are what every float32 needs to be read back as it was.
    row = ",".join(["%.9g"] * vectors.shape[1])
    return (row % tuple(vector) for vector in vectors.tolist())


_WRITERS: Mapping[VectorFormat, Callable[[BinaryIO], contextlib.AbstractContextManager[Write]]] = {
    "npy": _npy,
    "npz": _npz,
    "parquet": _parquet,
    "jsonl": _jsonl,
    "csv": _csv,
}
