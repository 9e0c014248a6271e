"""The encoders behind the adapters, one for each model and precision: loaded when first used, shared by all adapters.

An adapter holds only what names its encoder, so it is cheap to make and can be copied, pickled and written down.
"""

import functools
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.cache import model_folder
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.config import Precision, Role
from minilm_jax.errors import InputError
from minilm_jax.sentence_encoder import SentenceEncoder

_lock = threading.Lock()


def shared_encoder(model: str, precision: Precision) -> SentenceEncoder:
    """Returns the encoder of a model, see `SentenceEncoder.from_pretrained`.

    Args:
        model: A model's name, or a folder.
        precision: What to compute in.

    Returns:
        The same encoder at every call of one process, from whichever thread.

    Raises:
        InputError: The precision is unknown.
        ModelFileError: A file is missing, damaged, or of another kind of model.
    """
    with _lock:
        return _loaded(model, precision)


@functools.cache
def _loaded(model: str, precision: Precision) -> SentenceEncoder:
    return SentenceEncoder.from_pretrained(model, precision=precision)


def embed_texts(
    texts: Iterable[str], model: str, precision: Precision, role: Role | None = None, **options: Any
) -> NDArray[np.float32]:
    """Embeds texts, of which there may be none.

    Args:
        texts: The texts.
        model: A model's name, or a folder.
        precision: What to compute in.
        role: What the texts are to a search, for models that put a prompt before one or the other.
        options: Further keywords of `SentenceEncoder.encode`.

    Returns:
        float32[n, D].

    Raises:
        InputError: There is one string in place of a list, or an item that is no valid string.
    """
    if isinstance(texts, str):
        raise InputError(f"a list of texts is needed; this is one string: {texts!r:.60}")
    encoder = shared_encoder(model, precision)
    encode = {None: encoder.encode, "query": encoder.encode_query, "document": encoder.encode_document}[role]
    return encode(texts, **options)


def embed_query(text: str, model: str, precision: Precision) -> list[float]:
    """Embeds one query, see `embed_texts`.

    Returns:
        D plain floats.
    """
    return embed_texts([text], model, precision, "query")[0].tolist()


def embedding_size(model: str) -> int:
    """Returns D, the numbers in a vector of a model; its weights are not loaded for that."""
    return read_config(model_folder(model)).hidden_size
