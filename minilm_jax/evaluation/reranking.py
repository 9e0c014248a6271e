"""Reranking: the relevant documents of each query should come before the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.evaluation.evaluator import Evaluator, given
from minilm_jax.evaluation.rankings import average_precision, ndcg, reciprocal_rank
from minilm_jax.vectors.similarity import cos_sim

Sample = Mapping[str, Any]
# A query with its positive and negative documents.
_Sample = tuple[str, list[str], list[str]]


class RerankingEvaluator(Evaluator):
    """Mean average precision, MRR and NDCG of an encoder that sorts the documents of each query by cosine similarity.

    The metrics are `map`, `mrr@10` and `ndcg@10`.
    """

    def __init__(
        self, samples: Sequence[Sample], at_k: int = 10, name: str = "", batch_size: int | None = None
    ) -> None:
        """Check the samples.

        Args:
            samples: Dicts with "query", and the lists "positive" and "negative" of documents. Samples without positives
                or without negatives are left out.
            at_k: k of MRR and NDCG.
            name: Put before the names of the metrics.
            batch_size: Maximum texts per batch, or None.

        Raises:
            InputError: A sample lacks a key, or none has positives and negatives.
        """
        super().__init__(name)
        found = [_sample(number, sample) for number, sample in enumerate(samples, 1)]
        self._samples = [each for each in found if each[1] and each[2]]
        if not self._samples:
            raise InputError("no sample has both positive and negative documents; there must be at least one.")
        self._k, self._options = integer("at_k", at_k), given(batch_size=batch_size)

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        queries = model.encode_query([query for query, _, _ in self._samples], **self._options)
        documents = model.encode_document(_documents(self._samples), **self._options)
        ends = np.cumsum([len(positive) + len(negative) for _, positive, negative in self._samples])
        parts = np.split(documents, ends[:-1])
        scores = [np.asarray(cos_sim(query, part))[0] for query, part in zip(queries, parts, strict=True)]
        # Among equal scores, sentence-transformers ranks the first document first, and for cross-encoders the last one.
        orders = [np.argsort(-own, kind="stable") for own in scores]
        return _means(self._samples, scores, orders, self._k), f"ndcg@{self._k}"


class CrossEncoderRerankingEvaluator(Evaluator):
    """Mean average precision, MRR and NDCG of a cross-encoder that sorts the documents of each query by its scores.

    The metrics are `map`, `mrr@10` and `ndcg@10`.
    """

    def __init__(
        self, samples: Sequence[Sample], at_k: int = 10, name: str = "", batch_size: int | None = None
    ) -> None:
        """Check the samples.

        Args:
            samples: Dicts with "query", and the lists "positive" and "negative" of documents. A sample without
                positives counts as 0.
            at_k: k of MRR and NDCG.
            name: Put before the names of the metrics.
            batch_size: Maximum pairs per batch, or None.

        Raises:
            InputError: A sample lacks a key, or there are no samples.
        """
        super().__init__(name)
        self._samples = [_sample(number, sample) for number, sample in enumerate(samples, 1)]
        if not self._samples:
            raise InputError("there are no samples; there must be at least one.")
        self._k, self._options = integer("at_k", at_k), given(batch_size=batch_size)

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        pairs = [(query, text) for query, *both in self._samples for documents in both for text in documents]
        scores = np.asarray(model.predict(pairs, **self._options))
        if scores.ndim != 1:
            raise InputError(f"the model has {scores.shape[-1]} labels; only a model with one label can rerank.")
        ends = np.cumsum([len(positive) + len(negative) for _, positive, negative in self._samples])
        parts = np.split(scores, ends[:-1])
        return _means(self._samples, parts, [np.argsort(own)[::-1] for own in parts], self._k), f"ndcg@{self._k}"


def _sample(number: int, sample: Sample) -> _Sample:
    if missing := [key for key in ("query", "positive", "negative") if key not in sample]:
        raise InputError(f"sample {number} has no {', '.join(map(repr, missing))}; it must have query and documents.")
    lists = (sample["positive"], sample["negative"])
    positive, negative = ([each] if isinstance(each, str) else list(each) for each in lists)
    return sample["query"], positive, negative


def _documents(samples: Sequence[_Sample]) -> list[str]:
    return [text for _, *both in samples for documents in both for text in documents]


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
