"""`load_params` and `save_params`: weights of any format, checked against the config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.formats import read_leaves, write_msgpack, write_orbax, write_safetensors
from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig, ParamsFormat
from minilm_jax.errors import ModelFileError
from minilm_jax.nn.params import Params, check, flatten, unflatten

HUB_FILE = "model.safetensors"
_DTYPES = ("float32", "float16", "bfloat16")
# The longest name of a BERT leaf has about 60 characters.
_MAX_NAME_LENGTH = 200


def params_file(format: ParamsFormat) -> str:
    """Return the name of the params file of a format in a model folder."""
    return f"params.{format}"


def load_params(
    source: str | Path = DEFAULT_MODEL,
    config: EncoderConfig | None = None,
    *,
    cache_dir: str | Path | None = None,
) -> Params:
    """Load the parameters of a model.

    Args:
        source: A model's name, a model folder, or a `.safetensors`, `.msgpack`, `.orbax` or `.onnx` file.
        config: The encoder's config; by default that of the `config.json` next to the weights, or if there is none,
            that of all-MiniLM-L6-v2.
        cache_dir: The folder for downloaded files, see `minilm_jax.checkpoints.cache`.

    Returns:
        Nested dict of float32 jax arrays on the default device.

    Raises:
        ModelFileError: The weights cannot be found or read, or do not fit the config.
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
        leaves = {name: _checked(name, leaf) for name, leaf in read_leaves(path, config).items()}
        params = unflatten(leaves)
        check(params, config)
        _check_finite(leaves)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error.__cause__
    return jax.device_put(params)


def save_params(params: Mapping[str, Any], path: str | Path) -> None:
    """Write params in the format that the suffix of the path indicates.

    Args:
        params: Nested dict of arrays.
        path: Ends in `.safetensors`, `.msgpack` or `.orbax`; an existing file is replaced in one step.

    Raises:
        ModelFileError: The suffix is not one of these.
        OSError: The path cannot be written.
    """
    path = Path(path)
    leaves = {name: _native(leaf) for name, leaf in flatten(params).items()}
    write = {".safetensors": write_safetensors, ".msgpack": write_msgpack, ".orbax": write_orbax}.get(path.suffix)
    if write is None:
        raise ModelFileError(
            f"{path}: the suffix must be one of {', '.join(f'.{name}' for name in get_args(ParamsFormat))}."
        )
    with atomic_write(path) as new:
        write(leaves, new)


def _weights_path(source: str | Path, cache_dir: str | Path | None) -> Path:
    path = Path(source)
    if path.is_file() or path.suffix == ".orbax":
        return path
    folder = model_folder(source, cache_dir=cache_dir)
    names = [*map(params_file, get_args(ParamsFormat)), HUB_FILE]
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise ModelFileError(f"{folder} does not contain weights; it needs one of {', '.join(names)}.")


def _native(leaf: Any) -> NDArray[Any]:
    # safetensors silently writes wrong values for arrays that are not C-contiguous, and flax for foreign byte orders.
    array = np.asarray(leaf)
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)


def _checked(name: str, leaf: Any) -> NDArray[np.float32]:
    if len(name) > _MAX_NAME_LENGTH:
        raise ModelFileError(
            f"a leaf is named {name[:60]!r}… ({len(name):,} characters), which is not a name of a BERT encoder."
        )
    dtype = leaf.dtype.name if isinstance(leaf, np.ndarray | jax.Array) else type(leaf).__name__
    if dtype not in _DTYPES:
        raise ModelFileError(f"{name} is {dtype}; params are arrays of {', '.join(_DTYPES)}.")
    return np.asarray(leaf, np.float32)


def _check_finite(leaves: Mapping[str, NDArray[np.float32]]) -> None:
    for name, leaf in leaves.items():
        if not np.isfinite(leaf).all():
            raise ModelFileError(f"{name} has values that are not finite; download or convert it again.")
