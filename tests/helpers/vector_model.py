"""A model whose vectors are given, for evaluators; with the methods of sentence-transformers that they call."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class VectorModel:
    """Vectors by text, and scores by pair."""

    similarity_fn_name = "cosine"

    def __init__(self, vectors: Mapping[str, Any], scores: Mapping[tuple[str, str], float] | None = None) -> None:
        self._vectors, self._scores = vectors, scores or {}

    def encode(self, texts: Sequence[str], truncate_dim: int | None = None, **_: Any) -> NDArray[np.float32]:
        return np.array([self._vectors[text] for text in texts], np.float32)[:, :truncate_dim]

    def encode_query(self, texts: Sequence[str], **options: Any) -> NDArray[np.float32]:
        return self.encode(texts, **options)

    def encode_document(self, texts: Sequence[str], **options: Any) -> NDArray[np.float32]:
        return self.encode(texts, **options)

    def predict(self, pairs: Sequence[Any], **_: Any) -> NDArray[np.float32]:
        return np.array([self._scores[query, text] for query, text in pairs], np.float32)


def random_vectors(texts: Sequence[str], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return unit vectors with many equal similarities, which are exact in float32 in any order of the sums."""
    random = np.random.default_rng(seed)
    signs = np.array(np.meshgrid(*[[-0.5, 0.5]] * 4)).reshape(4, -1).T
    possible = np.concatenate([np.eye(4), -np.eye(4), signs]).astype(np.float32)
    return {text: possible[random.integers(len(possible))] for text in texts}
