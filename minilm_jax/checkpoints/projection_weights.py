"""Weights of projections, the Dense and LayerNorm modules in folders of sentence-transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from minilm_jax.checkpoints.hub_files import HUB_FILE
from minilm_jax.checkpoints.sentence_modules import read_sentence_modules
from minilm_jax.config import Projection
from minilm_jax.errors import ModelFileError

PROJECTIONS = "projections."


def read_projections(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a model's projections.

    Args:
        folder: The model folder.

    Returns:
        C-contiguous arrays by their paths in the parameter tree; none if the folder has no modules.

    Raises:
        ModelFileError: A file is missing or damaged.
    """
    if (modules := read_sentence_modules(folder)) is None:
        return {}
    leaves = {}
    for index, (projection, own) in enumerate(zip(modules.projections, modules.projection_folders, strict=True)):
        for path, leaf in _from_torch(_read(own / HUB_FILE), projection).items():
            leaves[f"{PROJECTIONS}{index}.{path}"] = np.ascontiguousarray(leaf)
    return leaves


def to_torch(params: Mapping[str, Any], projection: Projection) -> dict[str, NDArray[Any]]:
    """Return the tensors of one projection by the names of sentence-transformers, in C order."""
    if projection.kind == "dense":
        kernel, bias = (np.asarray(params["dense"][name]) for name in ("kernel", "bias"))
        return {"linear.weight": np.ascontiguousarray(kernel.T), "linear.bias": bias}
    return {
        f"norm.{name}": np.asarray(params["LayerNorm"][own]) for name, own in (("weight", "scale"), ("bias", "bias"))
    }


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.exists():
        found = (
            " (pytorch_model.bin is not read, because it can contain code)"
            * (path.parent / "pytorch_model.bin").exists()
        )
        raise ModelFileError(f"{path} is missing{found}; save the model as safetensors with sentence-transformers.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged ({error!s:.200}); download it again.") from None


def _from_torch(tensors: Mapping[str, NDArray[Any]], projection: Projection) -> dict[str, NDArray[Any]]:
    if projection.kind == "layer_norm":
        names = {"norm.weight": "LayerNorm.scale", "norm.bias": "LayerNorm.bias"}
    else:
        names = {"linear.weight": "dense.kernel", "linear.bias": "dense.bias"}
    leaves = {
        names.get(name, name): tensor.T if name == "linear.weight" else tensor for name, tensor in tensors.items()
    }
    if projection.kind == "dense":
        # A Dense module may have no bias.
        leaves.setdefault("dense.bias", np.zeros(projection.features, np.float32))
    return leaves
