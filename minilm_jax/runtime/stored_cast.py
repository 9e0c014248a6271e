"""Params in int8 on disk, so that the next process neither reads the float32 weights nor rounds them."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array
from safetensors.numpy import load, save

from minilm_jax.checkpoints.weights import find_weights, load_params
from minilm_jax.config import EncoderConfig, Precision
from minilm_jax.nn import casting
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import flatten, unflatten
from minilm_jax.nn.settings import device_use
from minilm_jax.runtime.program_store import ProgramStore

# Larger params would take the place of many programs.
_MAX_BYTES = 100_000_000


@device_use()
def load_cast(
    folder: Path, config: EncoderConfig, precision: Precision, store: ProgramStore | None = None
) -> EncoderParams:
    """Load the params of a model folder in a precision; in int8 from the store, if they are there.

    Args:
        folder: The model folder.
        config: The config of the model.
        precision: The precision to convert to.
        store: Where int8 params are kept for the next process, if anywhere.

    Returns:
        The params, which carry the config.

    Raises:
        InputError: The precision is unknown.
        ModelFileError: The weights cannot be read, or do not fit the config.
    """
    path = find_weights(folder)
    # The weights of projections, and those that an index lists, are in other files.
    if store is None or precision != "int8" or config.projections or not path.is_file() or path.suffix == ".json":
        return casting.cast(load_params(folder, config), precision, config)
    own = hashlib.sha256(Path(casting.__file__).read_bytes()).hexdigest()
    entry = store.path_for((own, _identity(path), sorted(dataclasses.asdict(config).items())))
    if (content := store.read(entry)) is not None:
        return EncoderParams(unflatten(_decoded(content)), config)
    params = casting.cast(load_params(folder, config), precision, config)
    leaves = flatten(params)
    if sum(leaf.nbytes for leaf in leaves.values()) <= _MAX_BYTES:
        store.write_later(entry, lambda: _encoded(leaves))
    return params


def _encoded(leaves: Mapping[str, Array]) -> bytes:
    # safetensors has no bfloat16 for numpy, so that these leaves are stored as integers of the same size.
    arrays = {f"{name}:{leaf.dtype}": np.asarray(leaf) for name, leaf in leaves.items()}
    return save({name: x.view(np.uint16) if x.dtype == jnp.bfloat16 else x for name, x in arrays.items()})


def _decoded(content: bytes) -> dict[str, Array]:
    named = [(key.partition(":"), array) for key, array in load(content).items()]
    return {name: jnp.asarray(array.view(jnp.dtype(dtype))) for (name, _, dtype), array in named}


def _identity(path: Path) -> tuple[object, ...]:
    """Return what changes whenever a file does: no program can set the time of the last change of its status."""
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
