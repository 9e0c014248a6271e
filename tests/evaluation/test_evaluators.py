"""Evaluators compute the metrics of small examples, with ties; another environment compares sentence-transformers."""

import numpy as np
import pytest

from minilm_jax.errors import InputError
from minilm_jax.evaluation import (
    BinaryClassificationEvaluator,
    CrossEncoderRerankingEvaluator,
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    RerankingEvaluator,
    TripletEvaluator,
)
from minilm_jax.evaluation.rankings import average_precision, ndcg, reciprocal_rank
from tests.helpers.vector_model import VectorModel

ANGLES = {"q": 0, "a": 10, "b": 30, "c": 60, "d": 60, "e": 120}
MODEL = VectorModel({name: (np.cos(np.radians(angle)), np.sin(np.radians(angle))) for name, angle in ANGLES.items()})


def test_similarity_is_a_correlation() -> None:
    found = EmbeddingSimilarityEvaluator(["q"] * 4, ["a", "b", "c", "e"], [5, 3, 2, 0])
    assert found(MODEL)["spearman_cosine"] == pytest.approx(1.0)
    assert found.primary_metric == "spearman_cosine"
    names = ["cosine", "dot", "euclidean", "manhattan"]
    several = EmbeddingSimilarityEvaluator(
        ["q"] * 4, ["a", "b", "c", "e"], [0, 3, 2, 5], similarity_fn_names=names, name="dev"
    )
    scores = several(MODEL)
    assert [*scores] == [
        *(f"dev_{kind}_{name}" for name in names for kind in ("pearson", "spearman")),
        "dev_pearson_max",
        "dev_spearman_max",
    ]
    assert several.primary_metric == "dev_spearman_max"


def test_triplets_count_strictly_better_positives() -> None:
    found = TripletEvaluator(["q"] * 4, ["a", "c", "c", "e"], ["b", "b", "d", "a"])
    assert found(MODEL) == {"cosine_accuracy": 0.25}
    assert TripletEvaluator(["q"], ["a"], ["b"], margin=0.5)(MODEL) == {"cosine_accuracy": 0.0}
    assert TripletEvaluator(["q"], ["a"], ["b"], margin={"cosine": 0.01})(MODEL) == {"cosine_accuracy": 1.0}


def test_retrieval_ranks_equal_scores_by_id() -> None:
    corpus = {name: name for name in "edcba"}
    found = InformationRetrievalEvaluator(
        {"1": "q", "2": "q", "none": "q"},
        corpus,
        {"1": {"c", "d"}, "2": {"d"}},
        ndcg_at_k=[4],
        mrr_at_k=[3, 4],
        accuracy_at_k=[3],
        precision_recall_at_k=[3],
        map_at_k=[100],
    )
    # The ranking is a, b, c, d, e.
    gain = (1 / np.log2(4) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert found(MODEL) == pytest.approx(
        {
            "cosine_accuracy@3": 0.5,
            "cosine_precision@3": 1 / 6,
            "cosine_recall@3": 0.25,
            "cosine_ndcg@4": (gain + 1 / np.log2(5)) / 2,
            "cosine_mrr@3": 1 / 6,
            "cosine_mrr@4": (1 / 3 + 1 / 4) / 2,
            "cosine_map@100": ((1 / 3 + 2 / 4) / 2 + 1 / 4) / 2,
        }
    )
    assert found.primary_metric == "cosine_ndcg@4"


def test_reranking_sorts_documents_by_similarity_or_score() -> None:
    samples = [
        {"query": "q", "positive": ["b"], "negative": ["a", "e"]},
        {"query": "q", "positive": "a", "negative": []},
    ]
    expected = {"map": 0.5, "mrr@10": 0.5, "ndcg@10": 1 / np.log2(3)}
    assert RerankingEvaluator(samples)(MODEL) == pytest.approx(expected)
    scores = {("q", "a"): 3.0, ("q", "b"): 2.0, ("q", "e"): -1.0}
    expected = {"map": 0.75, "mrr@10": 0.75, "ndcg@10": (1 + 1 / np.log2(3)) / 2}
    assert CrossEncoderRerankingEvaluator(samples)(VectorModel({}, scores)) == pytest.approx(expected)


def test_pairs_are_divided_by_the_best_thresholds() -> None:
    found = BinaryClassificationEvaluator(["q"] * 5, ["a", "b", "c", "d", "e"], [1, 1, 0, 1, 0])(MODEL)
    above_c = (np.cos(np.radians(30)) + np.cos(np.radians(60))) / 2
    assert found["cosine_accuracy"] == 0.8
    assert found["cosine_accuracy_threshold"] == pytest.approx(above_c)
    assert found["cosine_f1"] == pytest.approx(6 / 7)
    assert found["cosine_f1_threshold"] == pytest.approx(0, abs=1e-6)
    assert (found["cosine_precision"], found["cosine_recall"]) == (0.75, 1.0)
    distances = BinaryClassificationEvaluator(["q"] * 2, ["a", "e"], [1, 0], similarity_fn_names=["euclidean"])(MODEL)
    assert 0 < distances["euclidean_accuracy_threshold"] < 2


def test_tied_scores_share_their_ranks() -> None:
    relevant, scores = np.array([True, False, False]), np.array([1.0, 1.0, 0.0])
    assert average_precision(relevant, scores) == 0.5
    assert ndcg(relevant, scores, 10) == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert reciprocal_rank(relevant[::-1], 2) == 0.0
    nothing = np.zeros(3, bool)
    assert (average_precision(nothing, scores), ndcg(nothing, scores, 2)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: EmbeddingSimilarityEvaluator(["a"], [], [1]), "1 sentences1, 0 sentences2"),
        (lambda: TripletEvaluator([], [], []), "empty"),
        (lambda: InformationRetrievalEvaluator({"1": "q"}, {"a": "a"}, {}), "no query has relevant documents"),
        (lambda: InformationRetrievalEvaluator({"1": "q"}, {"a": "a"}, {"1": {"b"}}), "'b'.*is not in the corpus"),
        (lambda: BinaryClassificationEvaluator(["a"], ["b"], [2]), "labels must be 0 or 1"),
        (lambda: RerankingEvaluator([{"query": "q"}]), "sample 1 has no 'positive', 'negative'"),
        (lambda: EmbeddingSimilarityEvaluator(["q"], ["a"], [1], similarity_fn_names=["cos"])(MODEL), "cos"),
    ],
)
def test_bad_data_is_an_error(create, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create()
