"""Complete the head that was found in an ONNX graph by the settings of its folder."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from minilm_jax.checkpoints.folder_config import read_pooling, with_pooling, with_scores
from minilm_jax.checkpoints.json_files import read_json
from minilm_jax.checkpoints.sentence_modules import transformer_folder
from minilm_jax.config import Classifier, EncoderConfig
from minilm_jax.config.heads import heads_of
from minilm_jax.errors import ModelFileError


def with_stated_head(config: EncoderConfig, folders: Iterable[Path]) -> tuple[EncoderConfig, Path | None]:
    """Return a config with the labels and score activation, or the sparse pooling, that the first folder states.

    Args:
        config: The config of a graph with a head.
        folders: Model folders.

    Returns:
        The config, and the folder; without one that states the head, the config as it is and None.

    Raises:
        ModelFileError: A file is damaged, or states another number of labels than the graph has.
    """
    config, _ = with_pooling(config, None)
    for folder in folders:
        if config.classifier is not None and (classifier := _classifier(folder)) is not None:
            labels = _checked(classifier.labels, len(config.classifier.labels), folder)
            stated = dataclasses.replace(config.classifier, labels=labels, scores=classifier.scores)
            return with_scores(dataclasses.replace(config, classifier=stated), folder), folder
        pooling = read_pooling(folder) if config.sparse_head is not None else None
        if pooling is not None and pooling["sparse_head"] is not None:
            return dataclasses.replace(config, **pooling), folder
    return config, None


def _classifier(folder: Path) -> Classifier | None:
    path = transformer_folder(folder) / "config.json"
    return heads_of(read_json(path, dict)).get("classifier") if path.exists() else None


def _checked(labels: tuple[str, ...], count: int, folder: Path) -> tuple[str, ...]:
    if len(labels) != count:
        raise ModelFileError(
            f"{folder / 'config.json'} names {len(labels)} labels, but the graph has {count}; one of them belongs to"
            " another model."
        )
    return labels
