"""The tasks: their data, losses, settings and evaluators, which are the same for all libraries."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from minilm_jax.evaluation import (
    CrossEncoderRerankingEvaluator,
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    TripletEvaluator,
)

Rows = Sequence[Mapping[str, Any]]
Evaluator = Callable[[Any], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Task:
    """A training with its evaluation.

    Attributes:
        title: Description for the page.
        rows: Returns the rows for training, with the columns in the order of the loss, from the folder of the data.
        evaluator: Returns the evaluator.
        metrics: Metrics of the evaluator that the page shows, times 100.
        loss: Name of the loss in minilm-jax.
        kind: "encoder", or "cross-encoder" for one with the weights of the encoder.
        epochs: How often every row is used.
        batch_size: Rows per batch.
        learning_rate: Highest learning rate.
        max_seq_length: Maximum tokens per text.
        goal: Goal for the first metric, or None.
    """

    title: str
    rows: Callable[[Path], Rows]
    evaluator: Callable[[Path], Evaluator]
    metrics: tuple[str, ...]
    loss: str
    kind: Literal["encoder", "cross-encoder"] = "encoder"
    epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 2e-5
    max_seq_length: int = 128
    goal: float | None = None


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _similarity(data: Path) -> Evaluator:
    rows = _read(data / "stsb-dev.jsonl")
    first, second, scores = ([row[name] for row in rows] for name in ("sentence1", "sentence2", "score"))
    return EmbeddingSimilarityEvaluator(first, second, scores)


def _triplets(data: Path) -> Evaluator:
    rows = _read(data / "nli-dev.jsonl")
    anchors, positives, negatives = ([row[name] for row in rows] for name in ("anchor", "positive", "negative"))
    return TripletEvaluator(anchors, positives, negatives)


def _answers(data: Path) -> Evaluator:
    questions: dict[str, dict[str, Any]] = {}
    for row in _read(data / "answers-dev.jsonl"):
        sample = questions.setdefault(row["query"], {"query": row["query"], "positive": [], "negative": []})
        sample["positive" if row["label"] else "negative"].append(row["document"])
    return CrossEncoderRerankingEvaluator([each for each in questions.values() if each["positive"]])


def _documents(data: Path) -> dict[str, str]:
    return {row["id"]: f"{row['title']} {row['text']}" for row in _read(data / "scifact-corpus.jsonl")}


def _is_held_out(number: int) -> bool:
    return number % 4 == 0


def _claims(data: Path) -> Rows:
    documents = _documents(data)
    rows = [row for number, row in enumerate(_read(data / "scifact-train.jsonl")) if not _is_held_out(number)]
    return [{"anchor": row["query"], "positive": documents[each]} for row in rows for each in row["relevant"]]


def _retrieval(data: Path) -> Evaluator:
    rows = {str(number): row for number, row in enumerate(_read(data / "scifact-train.jsonl")) if _is_held_out(number)}
    queries = {number: row["query"] for number, row in rows.items()}
    return InformationRetrievalEvaluator(
        queries, _documents(data), {number: set(row["relevant"]) for number, row in rows.items()}
    )


TASKS: Mapping[str, Task] = {
    "stsb": Task(
        "STSb: similarity of sentences",
        lambda data: _read(data / "stsb-train.jsonl"),
        _similarity,
        ("spearman_cosine", "pearson_cosine"),
        "cosine_similarity",
        epochs=2,
        batch_size=16,
    ),
    "nli": Task(
        "NLI: an entailed sentence is nearer than a contradicting one",
        lambda data: _read(data / "nli-train.jsonl"),
        _triplets,
        ("cosine_accuracy",),
        "multiple_negatives_ranking",
        batch_size=64,
    ),
    "scifact": Task(
        "SciFact: abstracts that support or refute a claim (a quarter of the claims is held out)",
        _claims,
        _retrieval,
        ("cosine_ndcg@10",),
        "multiple_negatives_ranking",
        epochs=2,
        batch_size=16,
        max_seq_length=256,
    ),
    "answers": Task(
        "TREC-QA: sentences that answer a question, by a cross-encoder from the encoder's weights",
        lambda data: _read(data / "answers-train.jsonl"),
        _answers,
        ("map", "mrr@10"),
        "binary_cross_entropy",
        kind="cross-encoder",
        epochs=2,
        batch_size=32,
        learning_rate=5e-5,
        goal=72.0,
    ),
}
