"""Correlation of similarities with the scores of people."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from minilm_jax.evaluation.evaluator import VectorEvaluator, check_lengths
from minilm_jax.vectors.similarity import similarity_functions


class EmbeddingSimilarityEvaluator(VectorEvaluator):
    """Pearson and Spearman correlation of the similarities of pairs with given scores.

    The metrics are `pearson_cosine`, `spearman_cosine` and the like; with several functions also `pearson_max` and
    `spearman_max`.
    """

    def __init__(
        self,
        sentences1: Sequence[str],
        sentences2: Sequence[str],
        scores: Sequence[float] | Any,
        batch_size: int | None = None,
        main_similarity: str | None = None,
        similarity_fn_names: Sequence[str] | None = None,
        name: str = "",
        truncate_dim: int | None = None,
    ) -> None:
        """Remember the pairs.

        Args:
            sentences1: The first texts.
            sentences2: The second texts.
            scores: One score per pair, higher for more similar ones, on any scale.
            batch_size: Maximum texts per batch, or None.
            main_similarity: The similarity function of the primary metric.
            similarity_fn_names: "cosine", "dot", "euclidean" or "manhattan"; by default that of the model.
            name: Put before the names of the metrics.
            truncate_dim: Dimensions to use, or None for all.

        Raises:
            InputError: The lengths differ, or there are no pairs.
        """
        super().__init__(name, batch_size, truncate_dim, similarity_fn_names)
        check_lengths(sentences1=sentences1, sentences2=sentences2, scores=scores)
        self._texts, self._scores = (list(sentences1), list(sentences2)), np.asarray(scores, np.float64)
        self._main = main_similarity

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        names = self._functions(model)
        vectors = [model.encode(texts, **self._options) for texts in self._texts]
        metrics: dict[str, float] = {}
        for name in names:
            similarities = np.asarray(similarity_functions(name).pairwise(*vectors))
            metrics[f"pearson_{name}"] = _correlation(pearsonr, self._scores, similarities)
            metrics[f"spearman_{name}"] = _correlation(spearmanr, self._scores, similarities)
        if len(names) > 1:
            for kind in ("pearson", "spearman"):
                metrics[f"{kind}_max"] = max(metrics[f"{kind}_{name}"] for name in names)
        return metrics, f"spearman_{self._main or (names[0] if len(names) == 1 else 'max')}"


def _correlation(function: Any, scores: NDArray[np.float64], similarities: NDArray[Any]) -> float:
    correlation, _ = function(scores, similarities)  # The second value is the significance.
    return float(correlation)
