"""Pair classification: whether two texts belong together, by a threshold on their similarity."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.evaluation.evaluator import VectorEvaluator, check_lengths
from minilm_jax.evaluation.rankings import average_precision
from minilm_jax.vectors.similarity import similarity_functions

_DISTANCES = ("euclidean", "manhattan")


class BinaryClassificationEvaluator(VectorEvaluator):
    """Accuracy, F1, average precision and Matthews correlation of the best thresholds on the similarity of pairs.

    The metrics are `cosine_accuracy`, `cosine_accuracy_threshold`, `cosine_f1`, `cosine_f1_threshold`,
    `cosine_precision`, `cosine_recall`, `cosine_ap`, `cosine_mcc` and the like; with several functions also `max_ap`
    and so on. Thresholds of "euclidean" and "manhattan" are distances.
    """

    def __init__(
        self,
        sentences1: Sequence[str],
        sentences2: Sequence[str],
        labels: Sequence[int] | Any,
        name: str = "",
        batch_size: int | None = None,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
    ) -> None:
        """Remember the pairs.

        Args:
            sentences1: The first texts.
            sentences2: The second texts.
            labels: 1 for pairs that belong together, 0 for the others.
            name: Put before the names of the metrics.
            batch_size: Maximum texts per batch, or None.
            truncate_dim: Dimensions to use, or None for all.
            similarity_fn_names: "cosine", "dot", "euclidean" or "manhattan"; by default that of the model.

        Raises:
            InputError: The lengths differ, or a label is neither 0 nor 1.
        """
        super().__init__(name, batch_size, truncate_dim, similarity_fn_names)
        check_lengths(sentences1=sentences1, sentences2=sentences2, labels=labels)
        values = np.asarray(labels)
        if not np.isin(values, (0, 1)).all():
            raise InputError("labels must be 0 or 1.")
        self._texts, self._labels = (list(sentences1), list(sentences2)), values.astype(bool)

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        names = self._functions(model)
        vectors = [model.encode(texts, **self._options) for texts in self._texts]
        found = {name: pair_metrics(similarity_functions(name).pairwise(*vectors), self._labels) for name in names}
        for name in {*names} & {*_DISTANCES}:
            for metric in ("accuracy_threshold", "f1_threshold"):
                found[name][metric] *= -1  # The similarity is the negative distance.
        metrics = {f"{name}_{metric}": value for name, values in found.items() for metric, value in values.items()}
        if len(names) > 1:
            for metric in found[names[0]]:
                metrics[f"max_{metric}"] = max(values[metric] for values in found.values())
        return metrics, f"{names[0] if len(names) == 1 else 'max'}_ap"


class _Cuts(NamedTuple):
    """All ways to divide pairs, sorted by descending score, between two different scores; or after the last one.

    Attributes:
        positive: int[c], pairs above the cut with label 1.
        pairs: int[c], pairs above the cut.
        thresholds: float[c], a score between the last one above the cut and the first one below.
    """

    positive: NDArray[np.integer]
    pairs: NDArray[np.integer]
    thresholds: NDArray[np.floating]


def pair_metrics(similarities: Any, labels: NDArray[np.bool_]) -> dict[str, float]:
    """Compute the metrics of one similarity function.

    Args:
        similarities: float[n].
        labels: bool[n].

    Returns:
        The metrics by name; of equally good thresholds, the highest counts.
    """
    scores = np.asarray(similarities)
    cuts, total, count = _cuts(scores, labels), int(labels.sum()), len(labels)
    accuracy = (cuts.positive + (count - total) - (cuts.pairs - cuts.positive)) / count
    # No pair above the threshold is an option, too.
    highest = np.nextafter(scores.max(), np.inf, dtype=scores.dtype)
    accuracies, thresholds = np.append((count - total) / count, accuracy), np.append(highest, cuts.thresholds)
    f1 = 2 * cuts.positive / (cuts.pairs + total)
    best, own = int(accuracies.argmax()), int(f1.argmax())
    has_f1 = f1[own] > 0
    threshold = float(cuts.thresholds[own]) if has_f1 else 0.0
    return {
        "accuracy": float(accuracies[best]),
        "accuracy_threshold": float(thresholds[best]),
        "f1": float(f1[own]),
        "f1_threshold": threshold,
        "precision": float(cuts.positive[own] / cuts.pairs[own]) if has_f1 else 0.0,
        "recall": float(cuts.positive[own] / total) if has_f1 else 0.0,
        "ap": average_precision(labels, scores),
        "mcc": _matthews(labels, scores >= threshold),
    }


def _cuts(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> _Cuts:
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], labels[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(ordered)), len(scores) - 1)
    below = np.append(ordered[last[:-1] + 1], ordered[-1])
    middle = (ordered[last] + below) / 2
    # A middle that is rounded to the score below would include that score.
    return _Cuts(positive[last], last + 1, np.where(middle == below, ordered[last], middle))


def _matthews(labels: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Compute the correlation of labels and predictions (Matthews, 1975), 0 if either is constant."""
    spread = labels.std() * predicted.std()
    return float(np.mean((labels - labels.mean()) * (predicted - predicted.mean())) / spread) if spread else 0.0
