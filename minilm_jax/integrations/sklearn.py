"""scikit-learn: the encoder as a transformer of texts, at the head of a `Pipeline`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.shared_encoders import embed_texts, embedding_size


class MinilmJaxVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turns texts into vectors; there is nothing to fit.

    Attributes:
        model: A model's name, or a folder.
        precision: What to compute in, see `minilm_jax.cast`.
    """

    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Names the encoder, which is loaded when first used."""
        self.model = model
        self.precision: Precision = precision

    def fit(self, X: Iterable[str], y: Any = None) -> "MinilmJaxVectorizer":
        """Returns itself."""
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:
        """Embeds texts.

        Args:
            X: A list, an array or a column of n texts.

        Returns:
            float32[n, D].

        Raises:
            InputError: X has several columns, or an item that is no valid string.
        """
        # Iterating over a frame gives the names of its columns.
        if getattr(X, "ndim", 1) != 1:
            raise InputError("X has several columns; a list or one column of texts is needed.")
        return embed_texts(X, self.model, self.precision)

    def __sklearn_tags__(self) -> Any:
        """Says that texts go in, and that no `fit` is needed before."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        return tags

    @property
    def _n_features_out(self) -> int:
        return embedding_size(self.model)
