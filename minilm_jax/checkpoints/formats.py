"""Readers and writers of weight files."""

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.checkpoints.json_files import read_json
from minilm_jax.checkpoints.unsupported_files import remedy_for
from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig
from minilm_jax.converter import import_converter
from minilm_jax.errors import ModelFileError
from minilm_jax.imports import import_completely
from minilm_jax.nn.params import check, flatten, unflatten

# A file that this project wrote contains its config under this name.
_CONFIG = "config"
# This file identifies an orbax checkpoint, whatever the name of its folder.
ORBAX_METADATA = "_METADATA"


class Weights(NamedTuple):
    """The content of a weight file; values are not checked yet.

    Attributes:
        leaves: Arrays by their path in the parameter tree.
        config: The config that the file states, or None.
        states_pooling: Whether this config includes the pooling.
    """

    leaves: Mapping[str, Any]
    config: EncoderConfig | None = None
    states_pooling: bool = True


def read_weights(path: Path, config: EncoderConfig | None) -> Weights:
    """Read a weight file.

    Args:
        path: A `.safetensors`, `.msgpack`, `.orbax` or `.onnx` file, an orbax checkpoint folder, or the index of
            sharded safetensors files.
        config: The config that the weights should fit, if it is known.

    Returns:
        The weights, with the config in the file.

    Raises:
        ModelFileError: The suffix is unknown, or the file is damaged.
        ConversionError: An ONNX graph cannot be converted.
    """
    if path.suffix == ".onnx":
        return _read_onnx(path, config)
    readers: dict[str, Callable[[Path], Weights]] = {
        ".safetensors": lambda path: _read_safetensors(path, config),
        ".json": lambda path: _read_shards(path, config),
        ".msgpack": _read_msgpack,
        ".orbax": lambda path: _read_orbax(path, config),
    }
    suffix = ".orbax" if is_orbax(path) else path.suffix
    if suffix not in readers:
        if (remedy := remedy_for(path)) is not None:
            raise ModelFileError(f"it is {remedy}.")
        raise ModelFileError("the suffix of weights must be .safetensors, .msgpack, .orbax or .onnx.")
    try:
        return readers[suffix](path)
    except ModelFileError:
        raise
    except Exception as error:  # Each reader raises its own types of errors.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelFileError(
            f"it is damaged or not a {suffix} file ({reason:.200}); download or convert it again."
        ) from error


def is_orbax(path: Path) -> bool:
    """Return whether a path is an orbax checkpoint, by its suffix or content."""
    return path.suffix == ".orbax" or (path / ORBAX_METADATA).is_file()


def write_safetensors(
    leaves: Mapping[str, NDArray[Any]], path: Path, framework: str = "flax", config: EncoderConfig | None = None
) -> None:
    """Write C-contiguous arrays by name, and record the config, or the framework whose names they have."""
    path.touch()
    mode = path.stat().st_mode
    # safetensors writes several entries in random order, so there is one, and equal params give equal bytes.
    metadata = {"format": framework} if config is None else {_CONFIG: json.dumps(config.to_dict())}
    try:
        save_file(dict(leaves), path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from None
    path.chmod(mode)  # Some versions of safetensors create files that only their owner can read.


def write_msgpack(leaves: Mapping[str, NDArray[Any]], path: Path, config: EncoderConfig | None = None) -> None:
    """Write a msgpack file as flax does; the config is an entry with a JSON string."""
    import_completely("flax.serialization")
    from flax.serialization import msgpack_serialize

    stated = {} if config is None else {_CONFIG: json.dumps(config.to_dict())}
    path.write_bytes(msgpack_serialize(unflatten(leaves) | stated))


def write_orbax(leaves: Mapping[str, NDArray[Any]], path: Path, config: EncoderConfig | None = None) -> None:
    """Write an orbax checkpoint folder; the config is part of its metadata."""
    from orbax.checkpoint import PyTreeCheckpointer

    stated = None if config is None else {_CONFIG: config.to_dict()}
    PyTreeCheckpointer().save(path.resolve(), unflatten(leaves), custom_metadata=stated, force=True)


def _read_onnx(path: Path, config: EncoderConfig | None) -> Weights:
    model = import_converter("reading.onnx_file").read_onnx(path).model
    conversion = import_converter("onnx_to_flax").convert(model, pooling=config.pooling if config else None)
    return Weights(conversion.leaves, conversion.config, conversion.pools)


def _read_safetensors(path: Path, config: EncoderConfig | None) -> Weights:
    tensors = load_file(path)
    if not any(name.endswith((".kernel", ".embedding")) for name in tensors):
        return Weights(from_hub(tensors, config))
    with safe_open(path, "numpy") as file:
        stated = (file.metadata() or {}).get(_CONFIG)
    return Weights(tensors, _config(json.loads(stated)) if stated else None)


def _read_shards(path: Path, config: EncoderConfig | None) -> Weights:
    """Read the files that an index lists, which are in its folder."""
    names = read_json(path, dict).get("weight_map")
    files = sorted({str(name) for name in names.values()}) if isinstance(names, dict) else []
    if not files or any(Path(name).name != name or not name.endswith(".safetensors") for name in files):
        raise ModelFileError("its weight_map does not list .safetensors files; download it again.")
    tensors: dict[str, NDArray[Any]] = {}
    for name in files:
        if not (path.parent / name).is_file():
            raise ModelFileError(f"it lists {name:.200}, which is missing; download it too.")
        tensors |= load_file(path.parent / name)
    return Weights(from_hub(tensors, config))


def _read_msgpack(path: Path) -> Weights:
    import_completely("flax.serialization")
    from flax.serialization import msgpack_restore

    restored: Any = msgpack_restore(path.read_bytes())
    tree = dict(restored)
    stated = tree.pop(_CONFIG, None)
    return Weights(flatten(tree), _config(json.loads(stated)) if isinstance(stated, str) else None)


def _read_orbax(path: Path, config: EncoderConfig | None) -> Weights:
    from orbax.checkpoint import PyTreeCheckpointer, RestoreArgs

    checkpointer = PyTreeCheckpointer()
    metadata: Any = checkpointer.metadata(path.resolve())
    if metadata.item_metadata is None:
        raise ModelFileError("its metadata cannot be read; download or convert it again.")
    stated = (metadata.custom_metadata or {}).get(_CONFIG)
    own = None if stated is None else _config(stated)
    # This is checked before memory is allocated, because an array without data would be read as zeros.
    tree = metadata.item_metadata.tree
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32), tree)
    check(shapes, config or own or ALL_MINILM_L6_V2)
    # A checkpoint can be read on other devices than those that it was written on.
    arguments = jax.tree.map(lambda _: RestoreArgs(restore_type=np.ndarray), tree)
    return Weights(flatten(checkpointer.restore(path.resolve(), restore_args=arguments)), own)


def _config(values: Any) -> EncoderConfig:
    if not isinstance(values, dict):
        raise ModelFileError("the config in it is not a JSON object; convert it again.")
    return EncoderConfig.from_dict(values)
