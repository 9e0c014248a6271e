"""Choose the pooling of a converted model, or the settings of its head: by option, graph or folder, or assumed."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.onnx_to_flax import Conversion
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.checkpoints.folder_config import describe_pooling, folder_of, with_pooling
from minilm_jax.checkpoints.projection_weights import read_projections
from minilm_jax.checkpoints.stated_head import with_stated_head
from minilm_jax.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class ChosenPooling:
    """The pooling of a converted model, or the settings of its head.

    Attributes:
        config: The config of the graph, with this pooling or these settings.
        leaves: The weights of projections by their paths in the parameter tree.
        source: What states the pooling, or None if it is assumed.
    """

    config: EncoderConfig
    leaves: Mapping[str, NDArray[Any]]
    source: str | None

    def record(self) -> dict[str, Any]:
        """Return the entry in `conversion.json`, "pooling" or "head"."""
        stated = "assumed" if self.source is None else "stated"
        if (head := _describe_head(self.config)) is not None:
            return {"head": {stated: head, "source": self.source}}
        return {"pooling": {stated: describe_pooling(self.config), "source": self.source}}


def choose_pooling(
    conversion: Conversion,
    file: Path,
    folder: Path | None = None,
    pooling: str | None = None,
    *,
    is_known: bool = False,
) -> ChosenPooling:
    """Choose the pooling of a converted model.

    Args:
        conversion: The converted graph.
        file: The ONNX file, whose own folder, or the one above it, may state the pooling.
        folder: A folder that takes precedence over these, or None.
        pooling: The value of the option, which takes precedence over everything else, or None.
        is_known: Whether the file is a published one of all-MiniLM-L6-v2, whose pooling is known.

    Returns:
        The pooling and its source.

    Raises:
        ModelFileError: A file that states the pooling is damaged, or a module is not implemented.
    """
    folders = [one for one in (folder, file.parent, file.parent.parent) if one is not None]
    if _describe_head(conversion.config) is not None:
        config, stated_by = with_stated_head(conversion.config, folders)
        return ChosenPooling(config, {}, stated_by and stated_by.name)
    if conversion.pools and pooling is None:
        return ChosenPooling(conversion.config, {}, "the graph")
    assumed, _ = with_pooling(conversion.config, None)
    if is_known and pooling is None:
        return ChosenPooling(assumed, {}, DEFAULT_MODEL)
    stated = _stated(conversion.config, [one for one in (folder, folder_of(file)) if one is not None])
    if pooling is None:
        return stated or ChosenPooling(assumed, {}, None)
    normalize = (stated.config if stated else assumed).normalize
    return ChosenPooling(dataclasses.replace(assumed, pooling=pooling, normalize=normalize), {}, "--pooling")


def _describe_head(config: EncoderConfig) -> str | None:
    """Return the head of a config in a few words, or None without a head."""
    if config.classifier is not None:
        labels = ", ".join(config.classifier.labels)
        return f"classifier, labels {labels:.80}, scores {config.classifier.score_activation}"
    head = config.sparse_head
    return None if head is None else f"language model, {head.pooling} pooling, {head.activation}"


def _stated(config: EncoderConfig, folders: Sequence[Path]) -> ChosenPooling | None:
    """Return the pooling of the first folder that states one."""
    for folder in folders:
        completed, is_stated = with_pooling(config, folder)
        if is_stated:
            leaves = read_projections(folder) if completed.projections else {}
            arrays = {path: np.asarray(leaf, np.float32) for path, leaf in leaves.items()}
            return ChosenPooling(completed, arrays, folder.name)
    return None
