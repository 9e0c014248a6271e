"""Readers and writers of weight files; both use a flat dict that maps paths to arrays."""

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.config import EncoderConfig
from minilm_jax.converter import import_converter
from minilm_jax.errors import ModelFileError
from minilm_jax.nn.params import check, flatten, unflatten

Leaves = Mapping[str, Any]


def read_leaves(path: Path, config: EncoderConfig) -> Leaves:
    """Read a weight file as a flat dict that maps paths in the parameter tree to leaves; values are not checked yet.

    Args:
        path: A `.safetensors`, `.msgpack`, `.orbax` or `.onnx` file.
        config: The config that the weights should fit.

    Raises:
        ModelFileError: The suffix is unknown, or the file is damaged.
        ConversionError: An ONNX graph cannot be converted.
    """
    if path.suffix == ".onnx":
        return _read_onnx(path)
    readers: dict[str, Callable[[Path], Leaves]] = {
        ".safetensors": _read_safetensors,
        ".msgpack": _read_msgpack,
        ".orbax": lambda path: _read_orbax(path, config),
    }
    if path.suffix not in readers:
        raise ModelFileError("the suffix of weights must be .safetensors, .msgpack, .orbax or .onnx.")
    try:
        return readers[path.suffix](path)
    except ModelFileError:
        raise
    except Exception as error:  # Each reader raises its own types of errors.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelFileError(
            f"it is damaged or not a {path.suffix} file ({reason:.200}); download or convert it again."
        ) from error


def write_safetensors(leaves: Mapping[str, NDArray[Any]], path: Path, framework: str = "flax") -> None:
    """Write C-contiguous arrays by name, and record the framework whose names and orientation they have."""
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(leaves), path, metadata={"format": framework})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from None
    path.chmod(mode)  # Some versions of safetensors create files that only their owner can read.


def write_msgpack(leaves: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write a msgpack file as flax does."""
    from flax.serialization import msgpack_serialize

    path.write_bytes(msgpack_serialize(unflatten(leaves)))


def write_orbax(leaves: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write an orbax checkpoint folder."""
    from orbax.checkpoint import PyTreeCheckpointer

    PyTreeCheckpointer().save(path.resolve(), unflatten(leaves))


def _read_onnx(path: Path) -> Leaves:
    model = import_converter("reading.onnx_file").read_onnx(path).model
    return import_converter("onnx_to_flax").convert(model).leaves


def _read_safetensors(path: Path) -> Leaves:
    tensors = load_file(path)
    is_flax = any(name.endswith((".kernel", ".embedding")) for name in tensors)
    return tensors if is_flax else from_hub(tensors)


def _read_msgpack(path: Path) -> Leaves:
    from flax.serialization import msgpack_restore

    restored: Any = msgpack_restore(path.read_bytes())
    return flatten(dict(restored))


def _read_orbax(path: Path, config: EncoderConfig) -> Leaves:
    from orbax.checkpoint import PyTreeCheckpointer

    checkpointer = PyTreeCheckpointer()
    metadata: Any = checkpointer.metadata(path.resolve())
    if metadata.item_metadata is None:
        raise ModelFileError("its metadata cannot be read; download or convert it again.")
    # This is checked before memory is allocated, because an array without data would be read as zeros.
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32), metadata.item_metadata.tree)
    check(shapes, config)
    return flatten(checkpointer.restore(path.resolve()))
