"""The names and orientation that PyTorch checkpoints on the hub have for the leaves of the parameter tree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.nn.params import Params, flatten, unflatten

# Buffers that older checkpoints carry beside the weights.
_NO_PARAMETERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# What TensorFlow called the weights of a LayerNorm; some versions of transformers write them so.
_TENSORFLOW_NAME = {"gamma": "weight", "beta": "bias"}
_TORCH_NAME = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}


def from_hub(tensors: Mapping[str, NDArray[Any]]) -> Params:
    """Renames a checkpoint's tensors to the parameter tree; `nn.Linear` weights [out, in] become kernels [in, out].

    Args:
        tensors: The contents of a `model.safetensors`, with or without the prefix `bert.`.

    Returns:
        The nested tree, of C-contiguous arrays.

    Raises:
        ValueError: Two tensors have one place in the tree.
    """
    leaves: dict[str, NDArray[Any]] = {}
    for full_name, tensor in tensors.items():
        name = full_name.removeprefix("bert.")
        if name not in _NO_PARAMETERS:
            path = _flax_path(name)
            if path in leaves:
                raise ValueError(f"two tensors stand for {path:.200}")
            leaves[path] = np.ascontiguousarray(tensor.T if path.endswith(".kernel") else tensor)
    return unflatten(leaves)


def to_hub(params: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Renames the parameter tree to a checkpoint's tensors, the inverse of `from_hub`."""
    tensors = {}
    for path, leaf in flatten(params).items():
        parent, _, name = path.rpartition(".")
        # safetensors writes the wrong bytes, silently, for an array that is not C-contiguous.
        tensors[f"{parent}.{_TORCH_NAME[name]}"] = np.ascontiguousarray(
            np.asarray(leaf).T if name == "kernel" else leaf
        )
    return tensors


def _flax_path(name: str) -> str:
    parent, _, leaf = name.rpartition(".")
    leaf = _TENSORFLOW_NAME.get(leaf, leaf)
    if leaf != "weight":
        return f"{parent}.{leaf}" if parent else leaf
    if parent.endswith("_embeddings"):
        return f"{parent}.embedding"
    return f"{parent}.scale" if parent.endswith("LayerNorm") else f"{parent}.kernel"
