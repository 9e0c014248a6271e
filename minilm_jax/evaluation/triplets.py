"""Triplets: whether the positive is more similar to the anchor than the negative."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minilm_jax.evaluation.evaluator import VectorEvaluator, check_lengths
from minilm_jax.vectors.similarity import similarity_functions


class TripletEvaluator(VectorEvaluator):
    """Share of triplets with similarity(anchor, positive) > similarity(anchor, negative) + margin.

    The metrics are `cosine_accuracy` and the like; with several functions also `max_accuracy`.
    """

    def __init__(
        self,
        anchors: Sequence[str],
        positives: Sequence[str],
        negatives: Sequence[str],
        main_similarity_function: str | None = None,
        margin: float | Mapping[str, float] | None = None,
        name: str = "",
        batch_size: int | None = None,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
    ) -> None:
        """Remember the triplets.

        Args:
            anchors: The anchors.
            positives: A text per anchor that is similar to it.
            negatives: A text per anchor that is not.
            main_similarity_function: The similarity function of the primary metric.
            margin: The margin, for all functions or by their names; by default 0.
            name: Put before the names of the metrics.
            batch_size: Maximum texts per batch, or None.
            truncate_dim: Dimensions to use, or None for all.
            similarity_fn_names: "cosine", "dot", "euclidean" or "manhattan"; by default that of the model.

        Raises:
            InputError: The lengths differ, or there are no triplets.
        """
        super().__init__(name, batch_size, truncate_dim, similarity_fn_names)
        check_lengths(anchors=anchors, positives=positives, negatives=negatives)
        self._anchors, self._others = list(anchors), (list(positives), list(negatives))
        self._main, self._margin = main_similarity_function, margin

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        names = self._functions(model)
        anchors = model.encode_query(self._anchors, **self._options)
        others = [model.encode_document(texts, **self._options) for texts in self._others]
        metrics = {f"{name}_accuracy": self._accuracy(name, anchors, others) for name in names}
        if len(names) > 1:
            metrics["max_accuracy"] = max(metrics.values())
        return metrics, f"{self._main or (names[0] if len(names) == 1 else 'max')}_accuracy"

    def _accuracy(self, name: str, anchors: Any, others: Sequence[Any]) -> float:
        compare = similarity_functions(name).pairwise
        positives, negatives = (np.asarray(compare(anchors, vectors)) for vectors in others)
        margin = self._margin.get(name, 0.0) if isinstance(self._margin, Mapping) else self._margin or 0.0
        return float(np.mean(positives > negatives + np.float32(margin)))
