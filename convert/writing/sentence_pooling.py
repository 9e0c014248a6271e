"""Choose the pooling of a converted model: by option, from its graph, from its folder, or assumed."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.onnx_to_flax import Conversion
from minilm_jax.checkpoints.folder_config import describe_pooling, folder_of, with_pooling
from minilm_jax.checkpoints.projection_weights import read_projections
from minilm_jax.checkpoints.sentence_modules import read_sentence_modules
from minilm_jax.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class ChosenPooling:
    """The pooling of a converted model.

    Attributes:
        config: The config of the graph, with this pooling.
        leaves: The weights of projections by their paths in the parameter tree.
        source: What states the pooling, or None if it is assumed.
    """

    config: EncoderConfig
    leaves: Mapping[str, NDArray[Any]]
    source: str | None

    def record(self) -> dict[str, Any]:
        """Return the entry in `conversion.json`."""
        return {"assumed" if self.source is None else "stated": describe_pooling(self.config), "source": self.source}


def choose_pooling(
    conversion: Conversion, file: Path, folder: Path | None, pooling: str | None = None
) -> ChosenPooling:
    """Choose the pooling of a converted model.

    Args:
        conversion: The converted graph.
        file: The ONNX file, whose own folder, or the one above it, may state the pooling.
        folder: A folder that takes precedence over these, or None.
        pooling: The value of the option, which takes precedence over everything else, or None.

    Returns:
        The pooling and its source.

    Raises:
        ModelFileError: A file that states the pooling is damaged, or a module is not implemented.
    """
    if conversion.pools and pooling is None:
        return ChosenPooling(conversion.config, {}, "the graph")
    folders = [one for one in (folder, folder_of(file)) if one is not None]
    for one in folders:
        config, is_stated = with_pooling(conversion.config, one)
        if is_stated and pooling is None:
            modules = read_sentence_modules(one) if config.projections else None
            leaves = {} if modules is None else read_projections(modules)
            return ChosenPooling(config, {k: np.asarray(v, np.float32) for k, v in leaves.items()}, one.name)
    config, _ = with_pooling(conversion.config, None)
    if pooling is None:
        return ChosenPooling(config, {}, None)
    return ChosenPooling(dataclasses.replace(config, pooling=pooling), {}, "--pooling")
