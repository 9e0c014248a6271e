"""Names and orientation of weights in PyTorch checkpoints on the hub, and their paths in the parameter tree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.nn.params import flatten

# Older checkpoints contain these buffers in addition to the weights; they are not parameters.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Some checkpoints use TensorFlow's names for the weights of a LayerNorm.
_TENSORFLOW_NAMES = {"gamma": "weight", "beta": "bias"}
_TORCH_NAMES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}


def from_hub(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Rename a checkpoint's tensors to paths in the parameter tree; `nn.Linear` weights are transposed to [in, out].

    Args:
        tensors: The contents of a `model.safetensors`, with or without the prefix `bert.`.

    Returns:
        C-contiguous arrays by their paths.

    Raises:
        ValueError: Two tensors have the same path.
    """
    leaves: dict[str, NDArray[Any]] = {}
    for full_name, tensor in tensors.items():
        name = full_name.removeprefix("bert.")
        if name not in _BUFFERS:
            path = _flax_path(name)
            if path in leaves:
                raise ValueError(f"two tensors have the path {path:.200}")
            leaves[path] = np.ascontiguousarray(tensor.T if path.endswith(".kernel") else tensor)
    return leaves


def to_hub(params: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Rename the leaves of a parameter tree to the tensors of a checkpoint; the inverse of `from_hub`."""
    tensors = {}
    for path, leaf in flatten(params).items():
        parent, _, name = path.rpartition(".")
        # safetensors silently writes wrong values for arrays that are not C-contiguous.
        tensors[f"{parent}.{_TORCH_NAMES[name]}"] = np.ascontiguousarray(
            np.asarray(leaf).T if name == "kernel" else leaf
        )
    return tensors


def _flax_path(name: str) -> str:
    parent, _, leaf = name.rpartition(".")
    leaf = _TENSORFLOW_NAMES.get(leaf, leaf)
    if leaf != "weight":
        return f"{parent}.{leaf}" if parent else leaf
    if parent.endswith("_embeddings"):
        return f"{parent}.embedding"
    return f"{parent}.scale" if parent.endswith("LayerNorm") else f"{parent}.kernel"
