"""scikit-learn transformer from texts to vectors, for the first step of a `Pipeline`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_texts, embedding_size

with from_extra("sklearn"):
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin


class MinilmJaxVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Transformer from texts to vectors; `fit` does nothing.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
    """

    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Store the name of the encoder, which is loaded on first use."""
        self.model = model
        self.precision: Precision = precision

    def fit(self, X: Iterable[str], y: Any = None) -> "MinilmJaxVectorizer":
        """Return the transformer unchanged."""
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            X: A list, one-dimensional array or column of n texts.

        Returns:
            float32[n, D].

        Raises:
            InputError: X has several columns, or an item is not a valid string.
        """
        return embed_texts(X, self.model, self.precision)

    def __sklearn_tags__(self) -> Any:
        """Declare that inputs are strings and that no `fit` is required."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        return tags

    @property
    def _n_features_out(self) -> int:
        return embedding_size(self.model)
