"""Ranges of activations on disk: with them, params are cast to int8 without running the encoder."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jax.typing import ArrayLike
from safetensors.numpy import load, save

from minilm_jax.config import EncoderConfig
from minilm_jax.nn import casting
from minilm_jax.nn.params import Params, flatten
from minilm_jax.runtime.program_store import ProgramStore


def stored_input_ranges(params: Params, config: EncoderConfig, store: ProgramStore | None) -> Mapping[str, ArrayLike]:
    """Return `minilm_jax.nn.casting.input_ranges`, from disk if they are stored there.

    Args:
        params: Nested dict of float32 arrays.
        config: The config that params belong to.
        store: Where the ranges are kept for the next process, if anywhere.
    """
    if store is None:
        return casting.input_ranges(params, config)
    path = store.path_for((_digest(params), sorted(dataclasses.asdict(config).items())))
    if (content := store.read(path)) is not None:
        return load(content)
    ranges = {name: np.asarray(leaf) for name, leaf in casting.input_ranges(params, config).items()}
    with contextlib.suppress(OSError):  # The disk may be full or read-only.
        store.write(path, save(ranges))
    return ranges


def _digest(params: Params) -> str:
    """Return a hash of the values of params, and of the module that measures their ranges."""
    digest = hashlib.sha256(Path(casting.__file__).read_bytes())
    for name, leaf in sorted(flatten(params).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
