"""`load_params` and `save_params`: weights of any format, checked against the config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from minilm_jax.atomic_files import atomic_folder, atomic_write
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import folder_of, read_config, with_pooling
from minilm_jax.checkpoints.formats import (
    ORBAX_METADATA,
    Weights,
    is_orbax,
    read_weights,
    write_msgpack,
    write_orbax,
    write_safetensors,
)
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.checkpoints.hub_files import HUB_FILE, HUB_INDEX
from minilm_jax.checkpoints.projection_weights import PROJECTIONS, read_projections
from minilm_jax.checkpoints.sentence_modules import transformer_folder
from minilm_jax.checkpoints.stated_head import with_stated_head
from minilm_jax.checkpoints.unsupported_files import explain_missing_weights
from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig, ParamsFormat
from minilm_jax.errors import ModelFileError
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import check, flatten, unflatten
from minilm_jax.nn.settings import device_use

_Leaves = dict[str, NDArray[np.float32]]
_DTYPES = ("float32", "float16", "bfloat16")
# The longest name of a BERT leaf has about 60 characters.
_MAX_NAME_LENGTH = 200


def params_file(format: ParamsFormat) -> str:
    """Return the name of the params file of a format in a model folder."""
    return f"params.{format}"


@device_use()
def load_params(
    source: str | Path = DEFAULT_MODEL,
    config: EncoderConfig | None = None,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> EncoderParams:
    """Load the parameters of a model, with its config.

    Args:
        source: A model's name, a model folder, or a `.safetensors`, `.msgpack`, `.orbax` or `.onnx` file.
        config: The encoder's config; by default the one in the model folder or in the file or, if there is none, that
            of all-MiniLM-L6-v2.
        cache_dir: The folder for downloaded files, see `minilm_jax.checkpoints.cache`.
        revision: A branch, tag or commit of a model on the Hugging Face hub.
        token: An access token for the hub, or True for the one stored by `hf auth login`.
        local_files_only: Whether to use only files of the hub that are already in its cache.

    Returns:
        Nested dict of float32 jax arrays on the default device, which carries the config.

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
        >>> params.config.pooling
        'mean'
    """
    path, folder = _find(source, cache_dir, HubOptions(revision, token, local_files_only))
    try:
        leaves, config = _read(path, folder, config)
        params = unflatten(leaves)
        check(params, config)
        _check_finite(leaves)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error.__cause__
    return EncoderParams(jax.device_put(params), config)


def _read(path: Path, folder: Path | None, config: EncoderConfig | None) -> tuple[_Leaves, EncoderConfig]:
    """Return the weights in a file, including those of its model's projections, and the config to use."""
    is_graph = path.suffix == ".onnx"
    stated = config or (read_config(folder) if folder is not None and not is_graph else None)
    weights = read_weights(path, stated)
    if is_graph and config is None and weights.config is not None:
        stated = _completed(weights, path, folder)
    elif config is None and stated is not None and weights.config not in (None, stated):
        raise ModelFileError(
            f"it states another config than {folder}/config.json; one of them belongs to another model. Pass config=…."
        )
    chosen = stated or weights.config or ALL_MINILM_L6_V2
    leaves = dict(weights.leaves)
    if chosen.projections and folder is not None and not any(name.startswith(PROJECTIONS) for name in leaves):
        leaves |= read_projections(folder)
    return {name: _checked(name, leaf) for name, leaf in leaves.items()}, chosen


def _completed(weights: Weights, path: Path, folder: Path | None) -> EncoderConfig:
    """Return the config of a graph with what its folder states about the head or the pooling."""
    assert weights.config is not None
    if weights.config.classifier is not None or weights.config.sparse_head is not None:
        return with_stated_head(weights.config, (path.parent, path.parent.parent))[0]
    return weights.config if weights.states_pooling else with_pooling(weights.config, folder)[0]


def save_params(params: Mapping[str, Any], path: str | Path) -> None:
    """Write params in the format that the suffix of the path indicates.

    Args:
        params: Nested dict of arrays; the config that it carries is stored too.
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
    replacing = atomic_folder(path, ORBAX_METADATA) if write is write_orbax else atomic_write(path)
    with replacing as new:
        write(leaves, new, config=params.config if isinstance(params, EncoderParams) else None)


def _find(source: str | Path, cache_dir: str | Path | None, hub: HubOptions) -> tuple[Path, Path | None]:
    """Return the weight file of a source, and the folder of its model if there is one."""
    path = Path(source)
    if path.is_file() or is_orbax(path):
        return path, folder_of(path)
    folder = model_folder(source, cache_dir=cache_dir, hub=hub)
    return find_weights(folder), folder


def find_weights(folder: Path) -> Path:
    """Return the weight file in a model folder.

    Raises:
        ModelFileError: There is none in a supported format; the message tells what was found.
    """
    names = [*map(params_file, get_args(ParamsFormat)), HUB_FILE, HUB_INDEX]
    for name in names:
        if (path := transformer_folder(folder) / name).exists():
            return path
    needed = f"{folder} does not contain weights; it needs one of {', '.join(names)}."
    raise ModelFileError(f"{needed} {explain_missing_weights(folder)}".strip())


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
