"""Which class loads a model, by the head that its folder states."""

from pathlib import Path

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.sparse_encoder import SparseEncoder
from minilm_jax.text_model import TextModel


def class_of(source: str | Path = DEFAULT_MODEL, hub: HubOptions | None = None) -> type[TextModel]:
    """Return `CrossEncoder`, `SparseEncoder` or `SentenceEncoder`.

    Args:
        source: A model's name, or its folder.
        hub: How to access the hub.

    Raises:
        ModelFileError: A file is missing, damaged, or describes another kind of model.
    """
    config = read_config(model_folder(source, hub=hub or HubOptions()))
    if config.classifier is not None:
        return CrossEncoder
    return SentenceEncoder if config.sparse_head is None else SparseEncoder
