"""Files of parameters: safetensors, msgpack and orbax, written whole or not at all and checked when read."""

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig, ParamsFormat
from minilm_jax.converter import import_converter
from minilm_jax.errors import ModelFileError
from minilm_jax.nn.params import Params, check, flatten, unflatten

HUB_FILE = "model.safetensors"
_DTYPES = ("float32", "float16", "bfloat16")
# The longest name of a BERT leaf has about 60 characters.
_LONGEST_NAME = 200


def params_file(format: ParamsFormat) -> str:
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
        cache_dir: Where downloaded files are kept, see `minilm_jax.checkpoints.cache`.

    Returns:
        Nested dict of float32 jax arrays on the default device.

    Raises:
        ModelFileError: The weights cannot be found or read, or are not those of the config.
        ConversionError: An ONNX graph cannot be converted.

    Examples:
        >>> import minilm_jax as mj
        >>> params = mj.load_params("all-MiniLM-L6-v2")
        >>> sorted(params)
        ['embeddings', 'encoder', 'pooler']
        >>> params["embeddings"]["word_embeddings"]["embedding"].shape
        (30522, 384)
    """
    path = _weights_path(source, cache_dir)
    if config is None:
        config = read_config(path.parent) if (path.parent / "config.json").exists() else ALL_MINILM_L6_V2
    try:
        params = unflatten({name: _float32(name, leaf) for name, leaf in _read(path, config).items()})
        check(params, config)
        _check_finite(params)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error.__cause__
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
    leaves = {name: _plain(leaf) for name, leaf in flatten(params).items()}
    write = {".safetensors": write_safetensors, ".msgpack": _write_msgpack, ".orbax": _write_orbax}.get(path.suffix)
    if write is None:
        raise ModelFileError(f"{path}: params are saved as {', '.join(f'.{name}' for name in get_args(ParamsFormat))}.")
    with atomic_write(path) as written:
        write(leaves, written)


def _weights_path(source: str | Path, cache_dir: str | Path | None) -> Path:
    path = Path(source)
    if path.is_file() or path.suffix == ".orbax":
        return path
    folder = model_folder(source, cache_dir=cache_dir)
    names = [*map(params_file, get_args(ParamsFormat)), HUB_FILE]
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise ModelFileError(f"{folder} holds no weights; one of {', '.join(names)} should be in it.")


def _read(path: Path, config: EncoderConfig) -> Mapping[str, Any]:
    """Returns the leaves in a file by their path in the tree; what they are is not checked yet."""
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".safetensors": _read_safetensors,
        ".msgpack": _read_msgpack,
        ".orbax": lambda path: _read_orbax(path, config),
    }
    if path.suffix == ".onnx":
        model = import_converter("reading.onnx_file").read_onnx(path).model
        return import_converter("onnx_to_flax").convert(model).leaves
    if path.suffix not in readers:
        raise ModelFileError("weights come as .safetensors, .msgpack, .orbax or .onnx.")
    try:
        leaves = flatten(readers[path.suffix](path))
        unflatten(leaves)  # Fails where a leaf lies inside another.
        return leaves
    except ModelFileError:
        raise
    except Exception as error:  # Each reader raises errors of its own kind.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelFileError(
            f"it is damaged or no {path.suffix} file ({reason:.200}); fetch or convert it again."
        ) from error


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors.numpy import load_file

    tensors = load_file(path)
    is_flax = any(name.endswith((".kernel", ".embedding")) for name in tensors)
    return tensors if is_flax else from_hub(tensors)


def write_safetensors(leaves: dict[str, NDArray[Any]], path: Path, framework: str = "flax") -> None:
    """Writes C-contiguous arrays by their names; the framework whose layout they have is noted in the file."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path.touch()
    usual = path.stat().st_mode
    try:
        save_file(leaves, path, metadata={"format": framework})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from None
    path.chmod(usual)  # Some versions make a file that only its owner may read.


def _read_msgpack(path: Path) -> Mapping[str, Any]:
    from flax.serialization import msgpack_restore

    restored: Any = msgpack_restore(path.read_bytes())
    return dict(restored)


def _write_msgpack(leaves: dict[str, NDArray[Any]], path: Path) -> None:
    from flax.serialization import msgpack_serialize

    path.write_bytes(msgpack_serialize(unflatten(leaves)))


def _read_orbax(path: Path, config: EncoderConfig) -> Mapping[str, Any]:
    from orbax.checkpoint import PyTreeCheckpointer

    checkpointer = PyTreeCheckpointer()
    metadata: Any = checkpointer.metadata(path.resolve())
    if metadata.item_metadata is None:
        raise ModelFileError("its metadata cannot be read; fetch or convert it again.")
    # Before anything is allocated: an array that is not stored reads as zeros, however large its shape.
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float32), metadata.item_metadata.tree)
    check(shapes, config)
    return checkpointer.restore(path.resolve())


def _write_orbax(leaves: dict[str, NDArray[Any]], path: Path) -> None:
    from orbax.checkpoint import PyTreeCheckpointer

    PyTreeCheckpointer().save(path.resolve(), unflatten(leaves))


def _plain(leaf: Any) -> NDArray[Any]:
    # Without a word, safetensors writes an array that is not C-contiguous wrong, and flax one of foreign byte order.
    array = np.asarray(leaf)
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)


def _float32(name: str, leaf: Any) -> NDArray[np.float32]:
    if len(name) > _LONGEST_NAME:
        raise ModelFileError(f"a leaf is named {name[:60]!r}… ({len(name):,} characters); it is no BERT encoder's.")
    kind = leaf.dtype.name if isinstance(leaf, np.ndarray | jax.Array) else type(leaf).__name__
    if kind not in _DTYPES:
        raise ModelFileError(f"{name} is {kind}; params are arrays of {', '.join(_DTYPES)}.")
    return np.asarray(leaf, np.float32)


def _check_finite(params: Params) -> None:
    for name, leaf in flatten(params).items():
        if not np.isfinite(leaf).all():
            raise ModelFileError(f"{name} holds values that are not finite; fetch or convert it again.")
