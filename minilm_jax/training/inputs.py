"""Token ids of training data: one text per column of an encoder, or one pair per row of a cross-encoder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.training.data import TrainingData
from minilm_jax.training.losses import text_ids


def tokenized(model: TextModel, data: TrainingData) -> tuple[RaggedIds, NDArray[np.int32]]:
    """Tokenize data as the model does.

    Args:
        model: The model; its default prompt is put before every text.
        data: Rows of C columns; a cross-encoder reads the two columns as pairs, so that C is 1.

    Returns:
        The token ids of C · n texts or pairs, column by column, and int32[n, C], equal for equal texts.

    Raises:
        InputError: A cross-encoder gets another number of columns than two.
    """
    columns = inputs(model, data)
    return model.token_ids([item for column in columns for item in column]), text_ids(columns)


def inputs(model: TextModel, data: TrainingData) -> list[Sequence[Any]]:
    """Return the columns of texts, or the one column of pairs."""
    columns = [*data.columns.values()]
    if model.config.classifier is None:
        return columns
    if len(columns) != 2:
        raise InputError(f"a cross-encoder needs two columns of texts, not {len(columns)}; name them with `columns`.")
    return [[*zip(*columns, strict=True)]]
