"""Tensors that an ONNX file keeps in files beside it, read under rules that no file can talk its way around."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx

from convert.reading.tensors import size_in_bytes
from minilm_jax.errors import ConversionError

# How often, on the average, a byte may be part of a tensor.
_SHARED = 2


def read_external_data(tensors: Iterable[onnx.TensorProto], folder: Path) -> None:
    """Moves the bytes of external tensors into the tensors themselves.

    Args:
        tensors: Those of a model; only the external ones are changed.
        folder: The folder of the ONNX file, which alone may hold their data.

    Raises:
        ConversionError: A location is outside the folder, no regular file of its own, or too short.
    """
    read: dict[str, int] = {}
    for tensor in filter(is_external, tensors):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        tensor.raw_data = _read(tensor, location, entries, folder)
        # Tensors may share bytes, but not so that a small file asks for much memory.
        read[location] = read.get(location, 0) + len(tensor.raw_data)
        if read[location] > _SHARED * (folder / location).stat().st_size:
            raise ConversionError(f"its tensors claim the bytes of {location[:200]!r} more than {_SHARED} times over.")
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT


def is_external(tensor: onnx.TensorProto) -> bool:
    """Returns whether a tensor says that its data is elsewhere."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _read(tensor: onnx.TensorProto, location: str, entries: Mapping[str, str], folder: Path) -> bytes:
    size = size_in_bytes(tensor)
    try:
        offset = _whole_number(entries.get("offset", "0"))
        if _whole_number(entries.get("length", str(size))) != size:
            raise ValueError(f"it should have {size:,} bytes there, not {entries['length']}")
        descriptor = _open(location, folder)
        with os.fdopen(descriptor, "rb") as file:
            _check_file(os.fstat(descriptor), offset + size)
            file.seek(offset)
            return file.read(size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConversionError(
            f"tensor {tensor.name[:200]!r} keeps its data in {location[:200]!r}, which is refused: {reason}. It must be"
            " a plain file in the model's own folder, as it was published."
        ) from None


def _open(location: str, folder: Path) -> int:
    path = Path(location)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in location or "\0" in location:
        raise ValueError("the name leads out of the folder")
    if (folder / path.parent).resolve() != folder.resolve() / path.parent or (folder / path).is_symlink():
        raise ValueError("it is a symbolic link; copy the file itself there")
    if (folder / path).is_dir():
        raise ValueError("it is no regular file")
    # The flags hold off what may have changed since: a link in its place, or a pipe that blocks.
    return os.open(folder / path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _check_file(status: os.stat_result, end: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_nlink > 1:
        raise ValueError("the file has a second name (a hard link); copy it")
    if status.st_size < end:
        raise ValueError(f"the file has {status.st_size:,} bytes, and the tensor would end at {end:,}")


def _whole_number(text: str) -> int:
    # int() alone takes "1_0", " 10" and the digits of every script.
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{text[:40]!r} is no number of bytes")
    return int(text)
