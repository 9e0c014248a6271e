"""Writers of vector files, chunk by chunk: npy, npz, Parquet, JSON lines and CSV. Replacement is atomic."""

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minilm_jax.atomic_files import atomic_write
from minilm_jax.config import VectorFormat
from minilm_jax.errors import InputError, MissingPackageError

FORMATS: Mapping[str, VectorFormat] = {f".{name}": name for name in ("npy", "npz", "parquet", "jsonl", "csv")}
STREAM_FORMATS: Sequence[VectorFormat] = ("jsonl", "csv")

# A Write function appends n texts and their vectors float32[n, D].
Write = Callable[[Sequence[str], NDArray[np.float32]], object]


@contextlib.contextmanager
def open_writer(target: Path | BinaryIO, format: VectorFormat) -> Iterator[Write]:
    """Open a vector file for writing. The file appears when the block succeeds; otherwise nothing is left.

    Args:
        target: Path, or an open stream for one of STREAM_FORMATS.
        format: "npy": float32[n, D]. "npz": the same, named `embeddings`. "parquet": columns text and embedding.
            "jsonl": objects with text and embedding. "csv": columns text, e0, e1, …, one number per column, which
            `pandas.read_csv` reads as numbers; it would read a single column of lists as strings.

    Yields:
        The function that appends rows. Call it at least once, possibly with zero rows, to set the width.

    Raises:
        InputError: The parent folder does not exist, the target is not a regular file, or its format needs a package
            that is not installed.
        OSError: The target cannot be written.
    """
    with _replacing(target) if isinstance(target, Path) else contextlib.nullcontext(target) as file:
        with _WRITERS[format](file) as write:
            yield write
        file.flush()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    path = path.resolve()  # The target of a symbolic link is replaced, not the link.
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; create it first.")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file; choose another path.")
    with atomic_write(path) as written, written.open("w+b") as file:
        yield file
        file.close()  # Windows cannot move an open file.


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
    # numpy pads the header, so its size does not depend on the number of rows.
    file.seek(0)
    _write_npy_header(file, shape)


def _write_npy_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _npz(file: BinaryIO) -> Iterator[Write]:
    # The header of an archive member cannot be changed later, so the array is first written to an unnamed file.
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
        raise MissingPackageError("Parquet files need pyarrow: pip install 'minilm-jax[parquet]'") from None

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
    # Nine significant digits identify every float32 exactly.
    row = ",".join(["%.9g"] * vectors.shape[1])
    return (row % tuple(vector) for vector in vectors.tolist())


_WRITERS: Mapping[VectorFormat, Callable[[BinaryIO], contextlib.AbstractContextManager[Write]]] = {
    "npy": _npy,
    "npz": _npz,
    "parquet": _parquet,
    "jsonl": _jsonl,
    "csv": _csv,
}
