"""Read tensors that an ONNX file stores in separate files, under rules that an untrusted file cannot bypass."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx

from convert.reading.tensors import size_in_bytes
from minilm_jax.errors import ConversionError

# A byte may belong to at most this many tensors, on average.
_MAX_USES = 2


def read_external_data(tensors: Iterable[onnx.TensorProto], folder: Path) -> None:
    """Load the data of external tensors into the tensors.

    Args:
        tensors: The tensors of a model; only the external ones are changed.
        folder: The folder of the ONNX file, the only one from which data is read.

    Raises:
        ConversionError: A location is outside the folder, is not a regular file, or is too short.
    """
    read: dict[str, int] = {}
    for tensor in filter(is_external, tensors):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        tensor.raw_data = _read(tensor, location, entries, folder)
        # Several tensors may use the same bytes, but a small file must not cause large allocations.
        read[location] = read.get(location, 0) + len(tensor.raw_data)
        if read[location] > _MAX_USES * (folder / location).stat().st_size:
            raise ConversionError(f"its tensors use more than {_MAX_USES} times the bytes in {location[:200]!r}.")
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT


def is_external(tensor: onnx.TensorProto) -> bool:
    """Return whether the data of a tensor is stored in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _read(tensor: onnx.TensorProto, location: str, entries: Mapping[str, str], folder: Path) -> bytes:
    size = size_in_bytes(tensor)
    try:
        offset = _byte_count(entries.get("offset", "0"))
        if _byte_count(entries.get("length", str(size))) != size:
            raise ValueError(f"its length must be {size:,} bytes, not {entries['length']}")
        descriptor = _open(location, folder)
        with os.fdopen(descriptor, "rb") as file:
            _check_file(os.fstat(descriptor), offset + size)
            file.seek(offset)
            return file.read(size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConversionError(
            f"tensor {tensor.name[:200]!r} stores its data in {location[:200]!r}, which cannot be used: {reason}. It"
            " must be a regular file in the folder of the model."
        ) from None


def _open(location: str, folder: Path) -> int:
    path = Path(location)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in location or "\0" in location:
        raise ValueError("the path is outside the folder")
    if (folder / path.parent).resolve() != folder.resolve() / path.parent or (folder / path).is_symlink():
        raise ValueError("it is a symbolic link; copy the file itself there")
    if (folder / path).is_dir():
        raise ValueError("it is not a regular file")
    # The file may change after these checks; with these flags, opening it neither follows a link nor blocks on a pipe.
    return os.open(folder / path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _check_file(status: os.stat_result, end: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_nlink > 1:
        raise ValueError("the file has more than one hard link; copy it")
    if status.st_size < end:
        raise ValueError(f"the file has {status.st_size:,} bytes, and the tensor would end at {end:,}")


def _byte_count(text: str) -> int:
    # int() alone would accept "1_0", " 10" and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{text[:40]!r} is not a number of bytes")
    return int(text)
