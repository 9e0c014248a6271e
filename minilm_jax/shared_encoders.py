"""Models shared by the integrations: one per name and precision in each process, loaded on first use.

An adapter stores only the name of its model, so it is cheap to create and can be copied, pickled and serialized.
"""

import functools
import threading
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.cache import model_folder
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.config import Precision, Role
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.texts import as_texts

_Model = TypeVar("_Model", bound=TextModel)

_lock = threading.Lock()


def shared_encoder(model: str, precision: Precision) -> SentenceEncoder:
    """Return the encoder of a model and precision; every call and thread of a process gets the same one.

    Args:
        model: Name or folder of a model.
        precision: Precision of the computation.

    Returns:
        The encoder, see `SentenceEncoder.from_pretrained`.

    Raises:
        InputError: The precision is unknown.
        ModelFileError: A file is missing, damaged, or from another kind of model.
    """
    return _shared(SentenceEncoder, model, precision)


def shared_cross_encoder(model: str, precision: Precision) -> CrossEncoder:
    """Return the cross-encoder of a model and precision; otherwise like `shared_encoder`.

    Args:
        model: Name or folder of a model.
        precision: Precision of the computation.

    Returns:
        The cross-encoder, see `CrossEncoder.from_pretrained`.

    Raises:
        InputError: The precision is unknown, or the model has no classifier.
        ModelFileError: A file is missing, damaged, or from another kind of model.
    """
    return _shared(CrossEncoder, model, precision)


def _shared(kind: type[_Model], model: str, precision: Precision) -> _Model:
    with _lock:
        return cast(_Model, _load(kind, model, precision))


@functools.cache
def _load(kind: type[TextModel], model: str, precision: Precision) -> TextModel:
    return kind.from_pretrained(model, precision=precision)


def embed_texts(
    texts: Iterable[str], model: str, precision: Precision, role: Role | None = None, **options: Any
) -> NDArray[np.float32]:
    """Embed any number of texts, including none.

    Args:
        texts: The texts.
        model: Name or folder of a model.
        precision: Precision of the computation.
        role: "query" or "document", for models with different prompts for the two.
        options: Further keywords of `SentenceEncoder.encode`.

    Returns:
        float32[n, D].

    Raises:
        InputError: `texts` is one string or a table, or an item is not a valid string.
    """
    texts = as_texts(texts)
    encoder = shared_encoder(model, precision)
    encode = {None: encoder.encode, "query": encoder.encode_query, "document": encoder.encode_document}[role]
    return encode(texts, **options)


def embed_query(text: str, model: str, precision: Precision) -> list[float]:
    """Embed one query as a list of D floats, see `embed_texts`."""
    return embed_texts([text], model, precision, "query")[0].tolist()


def embedding_size(model: str) -> int:
    """Return the size of a model's vectors, D, without loading its weights."""
    return read_config(model_folder(model)).embedding_size
