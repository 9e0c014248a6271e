"""Metrics of a list of documents with scores, of which some are relevant; ties count as in scikit-learn."""

import numpy as np
from numpy.typing import NDArray


def average_precision(is_relevant: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Compute Σ (Rₙ - Rₙ₋₁) Pₙ over the distinct scores, where Rₙ and Pₙ are recall and precision down to score n.

    Args:
        is_relevant: bool[n].
        scores: float[n].

    Returns:
        The average precision; 0 without relevant documents.
    """
    if not is_relevant.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    relevant, sorted_scores = is_relevant[order].cumsum(), scores[order]
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    precision, recall = relevant[last] / (last + 1), relevant[last] / relevant[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def ndcg(is_relevant: NDArray[np.bool_], scores: NDArray[np.floating], k: int) -> float:
    """Compute the normalized discounted cumulative gain of the first k documents (Järvelin & Kekäläinen, 2002).

    Documents with equal scores share their gains equally (McSherry & Najork, 2008).

    Args:
        is_relevant: bool[n].
        scores: float[n].
        k: Number of documents.

    Returns:
        From 0 to 1; 0 without relevant documents.
    """
    discounts = 1 / np.log2(np.arange(len(scores)) + 2)
    discounts[k:] = 0
    ideal = float(discounts[: is_relevant.sum()].sum())
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    gains = np.bincount(group, is_relevant) / sizes
    sums = np.add.reduceat(discounts, sizes.cumsum() - sizes)
    return float(gains @ sums) / ideal if ideal else 0.0


def reciprocal_rank(is_relevant: NDArray[np.bool_], k: int) -> float:
    """Compute 1 / rank of the first relevant document among the first k, or 0.

    Args:
        is_relevant: bool[n], best document first.
        k: Number of documents.
    """
    found = np.flatnonzero(is_relevant[:k])
    return 1 / (int(found[0]) + 1) if len(found) else 0.0
