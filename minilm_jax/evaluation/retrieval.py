"""Information retrieval: the relevant documents of a corpus should be the nearest ones of each query."""

from collections.abc import Iterator, Mapping, Sequence, Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.evaluation.evaluator import VectorEvaluator
from minilm_jax.search.exact import nearest
from minilm_jax.vectors.similarity import similarity_functions


class InformationRetrievalEvaluator(VectorEvaluator):
    """Accuracy, precision, recall, MRR, NDCG and MAP of the search of queries in a corpus.

    The metrics are `cosine_ndcg@10` and the like. Documents with equal scores are ranked by their ids.
    """

    def __init__(
        self,
        queries: Mapping[str, str],
        corpus: Mapping[str, str],
        relevant_docs: Mapping[str, AbstractSet[str]],
        corpus_chunk_size: int | None = None,
        mrr_at_k: Sequence[int] = (10,),
        ndcg_at_k: Sequence[int] = (10,),
        accuracy_at_k: Sequence[int] = (1, 3, 5, 10),
        precision_recall_at_k: Sequence[int] = (1, 3, 5, 10),
        map_at_k: Sequence[int] = (100,),
        batch_size: int | None = None,
        name: str = "",
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
    ) -> None:
        """Remember queries and corpus; queries without relevant documents are left out.

        Args:
            queries: Queries by id.
            corpus: Documents by id.
            relevant_docs: The ids of the relevant documents of each query.
            corpus_chunk_size: Documents that are compared at a time, or None.
            mrr_at_k: Values of k, as in the following.
            ndcg_at_k: Gains are 0 or 1.
            accuracy_at_k: Share of queries with a relevant document among the first k.
            precision_recall_at_k: Precision and recall of the first k.
            map_at_k: Mean average precision of the first k.
            batch_size: Maximum texts per batch, or None.
            name: Put before the names of the metrics.
            truncate_dim: Dimensions to use, or None for all.
            similarity_fn_names: "cosine", "dot", "euclidean" or "manhattan"; by default that of the model.

        Raises:
            InputError: No query has relevant documents, or one of them is not in the corpus.
        """
        super().__init__(name, batch_size, truncate_dim, similarity_fn_names)
        self._queries = {key: text for key, text in queries.items() if relevant_docs.get(key)}
        if not self._queries:
            raise InputError("no query has relevant documents; relevant_docs maps ids of queries to ids of documents.")
        for key in self._queries:
            if missing := sorted(set(relevant_docs[key]) - corpus.keys()):
                raise InputError(f"document {missing[0]!r}, relevant for query {key!r}, is not in the corpus.")
        # In ascending order of ids, because the search ranks the smaller row of equal scores first.
        self._corpus = dict(sorted(corpus.items()))
        rows = {key: row for row, key in enumerate(self._corpus)}
        self._relevant = [np.array([rows[each] for each in relevant_docs[key]]) for key in self._queries]
        self._cuts = {
            "accuracy": accuracy_at_k,
            "precision": precision_recall_at_k,
            "recall": precision_recall_at_k,
            "ndcg": ndcg_at_k,
            "mrr": mrr_at_k,
            "map": map_at_k,
        }
        self._chunk = corpus_chunk_size

    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        names = self._functions(model)
        queries = model.encode_query([*self._queries.values()], **self._options)
        corpus = model.encode_document([*self._corpus.values()], **self._options)
        metrics: dict[str, float] = {}
        for name in names:
            found = self._found(queries, corpus, name)
            metrics |= {f"{name}_{metric}": score for metric, score in self._scores(found)}
        cut = max(self._cuts["ndcg"], default=None)
        if cut is None:
            return metrics, next(iter(metrics))
        return metrics, max((f"{name}_ndcg@{cut}" for name in names), key=lambda metric: metrics[metric])

    def _found(self, queries: Any, corpus: Any, name: str) -> NDArray[np.bool_]:
        """Return which of the nearest documents of each query are relevant, bool[Q, k]."""
        count = min(len(self._corpus), max(cut for cuts in self._cuts.values() for cut in cuts))
        compare = similarity_functions(name).all_pairs
        tiles = nearest(queries, corpus, count, compare, corpus_chunk_size=self._chunk)
        ids = np.concatenate([tile.ids for tile in tiles])
        return np.array([np.isin(own, relevant) for own, relevant in zip(ids, self._relevant, strict=True)])

    def _scores(self, found: NDArray[np.bool_]) -> Iterator[tuple[str, float]]:
        """Compute the metrics of one similarity function."""
        total = np.array([len(relevant) for relevant in self._relevant])
        hits, ranks = found.cumsum(axis=1), np.arange(found.shape[1]) + 1
        discounts = 1 / np.log2(ranks + 1)
        compute = {
            "accuracy": lambda k: hits[:, :k][:, -1] > 0,
            "precision": lambda k: hits[:, :k][:, -1] / k,
            "recall": lambda k: hits[:, :k][:, -1] / total,
            "ndcg": lambda k: (found * discounts)[:, :k].sum(axis=1) / _ideal(total, k),
            "mrr": lambda k: (found * (hits == 1) / ranks)[:, :k].sum(axis=1),
            "map": lambda k: (found * hits / ranks)[:, :k].sum(axis=1) / np.minimum(k, total),
        }
        for metric, cuts in self._cuts.items():
            for k in cuts:
                yield f"{metric}@{k}", float(np.mean(compute[metric](k)))


def _ideal(total: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """Return the discounted gain of the best ranking for each number of relevant documents."""
    sums = np.cumsum(1 / np.log2(np.arange(min(k, int(total.max()))) + 2))
    return sums[np.minimum(total, len(sums)) - 1]
