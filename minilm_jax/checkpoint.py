"""Files of parameters: safetensors, msgpack and orbax, written whole or not at all and checked when read."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig, read_config
from minilm_jax.errors import ModelFileError
from minilm_jax.hub_layout import from_hub
from minilm_jax.model_files import DEFAULT_MODEL, model_folder
from minilm_jax.params import Params, check, flatten, unflatten

Format = Literal["safetensors", "msgpack", "orbax"]
HUB_FILE = "model.safetensors"


def params_file(format: Format) -> str:
    """Returns the name that params of a format have in a model folder."""
    return f"params.{format}"


def load_params(
    source: str | Path = DEFAULT_MODEL,
    config: EncoderConfig | None = None,
    *,
    cache_dir: str | Path | None = None,
) -> Params:
    """Loads the parameters of a model.

    Args:
        source: A model's name, a model folder, or a `.safetensors`, `.msgpack`, `.orbax` or `.onnx` file.
        config: Sizes of the encoder; by default those of the `config.json` beside the weights, else of
            all-MiniLM-L6-v2.
        cache_dir: Where downloaded files are kept, see `minilm_jax.model_files`.

    Returns:
        Nested dict of float32 jax arrays on the default device.

    Raises:
        ModelFileError: The weights cannot be found or read, or are not those of the config.
        ConversionError: An ONNX graph cannot be converted.
    """
    path = _weights_path(source, cache_dir)
    if config is None:
        config = read_config(path.parent) if (path.parent / "config.json").exists() else ALL_MINILM_L6_V2
    leaves = {name: _float32(name, leaf) for name, leaf in flatten(_read(path)).items()}
    params = unflatten(leaves)
    try:
        check(params, config)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return jax.device_put(params)


def save_params(params: Mapping[str, Any], path: str | Path) -> None:
    """Writes params; the suffix of the path chooses the format.

    Args:
        params: Nested dict of arrays.
        path: Ends in `.safetensors`, `.msgpack` or `.orbax`; an existing file is replaced in one step.

    Raises:
        ModelFileError: The suffix is none of these.
        OSError: The path cannot be written.
    """
    path = Path(path)
    # safetensors writes the wrong bytes, silently, for an array that is not C-contiguous.
    leaves = {name: np.ascontiguousarray(leaf) for name, leaf in flatten(params).items()}
    write = {".safetensors": _write_safetensors, ".msgpack": _write_msgpack, ".orbax": _write_orbax}.get(path.suffix)
    if write is None:
        raise ModelFileError(f"{path}: params are saved as {', '.join(f'.{name}' for name in get_args(Format))}.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        written = Path(scratch) / path.name
        write(leaves, written)
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(written, path)


def _weights_path(source: str | Path, cache_dir: str | Path | None) -> Path:
    path = Path(source)
    if path.is_file() or path.suffix == ".orbax":
        return path
    folder = model_folder(source, cache_dir=cache_dir)
    names = [*map(params_file, get_args(Format)), HUB_FILE]
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise ModelFileError(f"{folder} holds no weights; one of {', '.join(names)} should be in it.")


def _read(path: Path) -> Mapping[str, Any]:
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".safetensors": _read_safetensors,
        ".msgpack": _read_msgpack,
        ".orbax": _read_orbax,
    }
    if path.suffix == ".onnx":
        # The one way from the library to the converter, taken only when a user passes an ONNX file.
        from convert.onnx_file import read_onnx
        from convert.onnx_to_flax import convert

        return convert(read_onnx(path).model).params
    if path.suffix not in readers:
        raise ModelFileError(f"{path}: weights come as .safetensors, .msgpack, .orbax or .onnx.")
    try:
        return readers[path.suffix](path)
    except Exception as error:  # Each reader raises errors of its own kind.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelFileError(
            f"{path} is damaged or no {path.suffix} file ({reason}); fetch or convert it again."
        ) from error


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors.numpy import load_file

    tensors = load_file(path)
    is_flax = any(name.endswith((".kernel", ".embedding")) for name in tensors)
    return unflatten(tensors) if is_flax else from_hub(tensors)


def _write_safetensors(leaves: dict[str, NDArray[Any]], path: Path) -> None:
    from safetensors.numpy import save

    # Not save_file, which makes a file that only its owner may read.
    path.write_bytes(save(leaves, metadata={"format": "flax"}))


def _read_msgpack(path: Path) -> Mapping[str, Any]:
    from flax.serialization import msgpack_restore

    restored: Any = msgpack_restore(path.read_bytes())
    return dict(restored)


def _write_msgpack(leaves: dict[str, NDArray[Any]], path: Path) -> None:
    from flax.serialization import msgpack_serialize

    path.write_bytes(msgpack_serialize(unflatten(leaves)))


def _read_orbax(path: Path) -> Mapping[str, Any]:
    from orbax.checkpoint import PyTreeCheckpointer

    return PyTreeCheckpointer().restore(path.resolve())


def _write_orbax(leaves: dict[str, NDArray[Any]], path: Path) -> None:
    from orbax.checkpoint import PyTreeCheckpointer

    PyTreeCheckpointer().save(path.resolve(), unflatten(leaves))


def _float32(name: str, leaf: Any) -> NDArray[np.float32]:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fV" or array.dtype.itemsize > 4:
        raise ModelFileError(f"{name} has dtype {array.dtype}; params are float32, float16 or bfloat16.")
    return array.astype(np.float32, copy=False)
