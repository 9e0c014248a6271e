"""Reranking: the relevant documents of each query should come before the others."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.evaluation.evaluator import Evaluator, given
from minilm_jax.evaluation.rankings import average_precision, ndcg, reciprocal_rank
from minilm_jax.vectors.similarity import pairwise_cos_sim

Sample = Mapping[str, Any]
# A query with its positive and negative documents.
_Sample = tuple[str, list[str], list[str]]


class _Reranking(Evaluator):
    """Mean average precision, MRR and NDCG of the documents of each query, sorted by a score."""

    _needs_negatives: ClassVar[bool]

    def __init__(
        self, samples: Sequence[Sample], at_k: int = 10, name: str = "", batch_size: int | None = None
    ) -> None:
        """Check the samples.

        Args:
            samples: Dicts with "query", and the lists "positive" and "negative" of documents.
            at_k: k of MRR and NDCG.
            name: Put before the names of the metrics.
            batch_size: Maximum texts or pairs per batch, or None.

        Raises:
            InputError: A sample lacks a key, or there are no samples that count.
        """
        super().__init__(name)
        found = [_sample(number, sample) for number, sample in enumerate(samples, 1)]
        self._samples = [each for each in found if not self._needs_negatives or (each[1] and each[2])]
        if not self._samples:
            raise InputError("no sample can be ranked; at least one must have positive and negative documents.")
        self._k, self._options = integer("at_k", at_k), given(batch_size=batch_size)

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        counts = [len(positive) + len(negative) for _, positive, negative in self._samples]
        pairs = [(query, text) for query, *both in self._samples for documents in both for text in documents]
        scores = np.split(self._scores(model, pairs), np.cumsum(counts)[:-1])
        metrics = _means(self._samples, scores, [self._order(own) for own in scores], self._k)
        return metrics, f"ndcg@{self._k}"

    @abc.abstractmethod
    def _scores(self, model: Any, pairs: Sequence[tuple[str, str]]) -> NDArray[Any]:
        """Return the score of each pair of a query and a document, float[n]."""

    @staticmethod
    @abc.abstractmethod
    def _order(scores: NDArray[Any]) -> NDArray[np.intp]:
        """Return the documents of a query by rank; equal scores are ranked as in sentence-transformers."""


class RerankingEvaluator(_Reranking):
    """Mean average precision, MRR and NDCG of an encoder that sorts the documents of each query by cosine similarity.

    The metrics are `map`, `mrr@10` and `ndcg@10`. Samples without positives or without negatives are left out.
    """

    _needs_negatives = True

    def _scores(self, model: Any, pairs: Sequence[tuple[str, str]]) -> NDArray[Any]:
        queries = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
        vectors = model.encode_query([*queries], **self._options)[[queries[query] for query, _ in pairs]]
        return np.asarray(
            pairwise_cos_sim(vectors, model.encode_document([text for _, text in pairs], **self._options))
        )

    @staticmethod
    def _order(scores: NDArray[Any]) -> NDArray[np.intp]:
        return np.argsort(-scores, kind="stable")


class CrossEncoderRerankingEvaluator(_Reranking):
    """Mean average precision, MRR and NDCG of a cross-encoder that sorts the documents of each query by its scores.

    The metrics are `map`, `mrr@10` and `ndcg@10`. A sample without positives counts as 0.
    """

    _needs_negatives = False

    def _scores(self, model: Any, pairs: Sequence[tuple[str, str]]) -> NDArray[Any]:
        scores = np.asarray(model.predict(pairs, **self._options))
        if scores.ndim != 1:
            raise InputError(f"the model has {scores.shape[-1]} labels; only a model with one label can rerank.")
        return scores

    @staticmethod
    def _order(scores: NDArray[Any]) -> NDArray[np.intp]:
        return np.argsort(scores)[::-1]


def _sample(number: int, sample: Sample) -> _Sample:
    if missing := [key for key in ("query", "positive", "negative") if key not in sample]:
        raise InputError(f"sample {number} has no {', '.join(map(repr, missing))}; it must have query and documents.")
    lists = (sample["positive"], sample["negative"])
    positive, negative = ([each] if isinstance(each, str) else list(each) for each in lists)
    return sample["query"], positive, negative


def _means(
    samples: Sequence[_Sample], scores: Sequence[NDArray[Any]], orders: Sequence[NDArray[np.intp]], k: int
) -> Mapping[str, float]:
    """Return the means of the metrics, given the scores of each sample's documents and their ranking."""
    metrics = np.zeros((len(samples), 3))
    for row, ((_, positive, negative), own, order) in enumerate(zip(samples, scores, orders, strict=True)):
        is_relevant = np.arange(len(positive) + len(negative)) < len(positive)
        metrics[row] = (
            average_precision(is_relevant, own),
            reciprocal_rank(is_relevant[order], k),
            ndcg(is_relevant, own, k),
        )
    return dict(zip(("map", f"mrr@{k}", f"ndcg@{k}"), metrics.mean(axis=0).tolist(), strict=True))
