"""The evaluator for the rows of a file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minilm_jax.errors import InputError

if TYPE_CHECKING:
    from minilm_jax.evaluation.evaluator import Evaluator
    from minilm_jax.text_model import TextModel
    from minilm_jax.training import TrainingData

# Documents with a higher label are relevant.
_RELEVANT = 0.5


def evaluator_for(data: "TrainingData", model: "TextModel") -> "Evaluator":
    """Return the evaluator that the columns of the data and the kind of the model suggest."""
    from minilm_jax.evaluation import (
        CrossEncoderRerankingEvaluator,
        EmbeddingSimilarityEvaluator,
        InformationRetrievalEvaluator,
        TripletEvaluator,
    )

    columns = [*data.columns.values()]
    if model.config.classifier is not None:
        return CrossEncoderRerankingEvaluator(_samples(data))
    if data.labels is not None:
        return EmbeddingSimilarityEvaluator(columns[0], columns[1], data.labels)
    if len(columns) > 2:
        anchors, positives, negatives = columns[:3]
        return TripletEvaluator(anchors, positives, negatives)
    return InformationRetrievalEvaluator(*_retrieval(columns[0], columns[1]))


def _samples(data: "TrainingData") -> list[dict[str, Any]]:
    """Return the documents of each query, those with a label above one half as positives."""
    if data.labels is None:
        raise InputError("a cross-encoder is evaluated with labels, 0 or 1; name their column with --label.")
    queries, documents = data.columns.values()
    samples: dict[str, dict[str, Any]] = {}
    for query, document, label in zip(queries, documents, data.labels.tolist(), strict=True):
        sample = samples.setdefault(query, {"query": query, "positive": [], "negative": []})
        sample["positive" if label > _RELEVANT else "negative"].append(document)
    return [*samples.values()]


def _retrieval(
    queries: Sequence[str], documents: Sequence[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, set[str]]]:
    """Return queries, corpus and answers for the search of each query's document among all documents."""
    relevant: dict[str, set[str]] = {}
    for query, document in zip(queries, documents, strict=True):
        relevant.setdefault(query, set()).add(document)
    return {query: query for query in relevant}, {document: document for document in documents}, relevant
