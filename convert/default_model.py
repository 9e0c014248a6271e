"""Provide the ONNX file of all-MiniLM-L6-v2: downloaded from the hub if possible, else built from the weights."""

import shutil
from pathlib import Path

from convert.flax_to_onnx import to_onnx
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, derived_file, published_file
from minilm_jax.checkpoints.weights import load_params
from minilm_jax.config import ALL_MINILM_L6_V2
from minilm_jax.errors import ModelFileError

NAME = f"{DEFAULT_MODEL}.onnx"


def default_onnx_file(cache_dir: str | Path | None = None) -> Path:
    """Return the path of the default model as an ONNX file, which the first call downloads or builds.

    Args:
        cache_dir: The folder of the cache, see `minilm_jax.checkpoints.cache`.

    Returns:
        The path of the file in the cache.

    Raises:
        ModelFileError: The model cannot be downloaded from any source.
    """

    def make(path: Path) -> None:
        try:
            shutil.copyfile(published_file("onnx/model.onnx", cache_dir=cache_dir), path)
        except ModelFileError:
            model = to_onnx(load_params(DEFAULT_MODEL, cache_dir=cache_dir), ALL_MINILM_L6_V2)
            path.write_bytes(model.SerializeToString(deterministic=True))

    return derived_file(NAME, make, cache_dir=cache_dir)
