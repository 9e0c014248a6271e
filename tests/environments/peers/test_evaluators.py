"""Evaluators compared with those of sentence-transformers, on equal vectors with many equal similarities."""

import numpy as np
import pytest
import torch
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator as TheirCrossEncoderReranking
from sentence_transformers.sentence_transformer import evaluation as theirs
from sentence_transformers.util import cos_sim

from minilm_jax import evaluation
from tests.helpers.vector_model import VectorModel, random_vectors

# Sums and means of float32 similarities in another order.
METRICS = 1e-6
NAMES = ["cosine", "dot", "euclidean", "manhattan"]
TEXTS = [f"text {number}" for number in range(40)]
FIRST, SECOND, THIRD = (np.random.default_rng(seed).permutation(TEXTS).tolist() for seed in range(3))


class TheirModel(VectorModel):
    """The same vectors for sentence-transformers, whose evaluators ask for more attributes."""

    model_card_data = None
    similarity = staticmethod(cos_sim)

    def encode(self, texts, convert_to_tensor=False, **options):
        found = super().encode(texts, truncate_dim=options.get("truncate_dim"))
        return torch.from_numpy(found) if convert_to_tensor else found


@pytest.fixture(params=range(3))
def models(request):
    vectors = random_vectors(TEXTS, request.param)
    random = np.random.default_rng(request.param)
    scores = {(a, b): float(random.integers(5)) for a in TEXTS for b in TEXTS}
    return VectorModel(vectors, scores), TheirModel(vectors, scores)


@pytest.fixture(autouse=True)
def _no_model_card(monkeypatch):
    for module in (theirs.BinaryClassificationEvaluator, TheirCrossEncoderReranking):
        monkeypatch.setattr(module, "store_metrics_in_model_card_data", lambda *_: None)
    for name in ("EmbeddingSimilarity", "InformationRetrieval", "Triplet", "Reranking"):
        monkeypatch.setattr(getattr(theirs, f"{name}Evaluator"), "store_metrics_in_model_card_data", lambda *_: None)


def compare(ours, other, models) -> None:
    found, expected = ours(models[0]), other(models[1])
    assert found.keys() == expected.keys()
    for metric, value in expected.items():
        assert found[metric] == pytest.approx(value, abs=METRICS), metric
    assert ours.primary_metric == other.primary_metric


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("truncate_dim", [None, 2])
def test_similarity(names, truncate_dim, models) -> None:
    scores = np.random.default_rng(3).integers(0, 6, 40).tolist()
    arguments = (FIRST, SECOND, scores)
    options = {"similarity_fn_names": names, "truncate_dim": truncate_dim, "name": "dev"}
    compare(
        evaluation.EmbeddingSimilarityEvaluator(*arguments, **options),
        theirs.EmbeddingSimilarityEvaluator(*arguments, **options),
        models,
    )


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("margin", [None, 0.25])
def test_triplets(names, margin, models) -> None:
    arguments = (FIRST, SECOND, THIRD)
    options = {"similarity_fn_names": names, "margin": margin}
    compare(evaluation.TripletEvaluator(*arguments, **options), theirs.TripletEvaluator(*arguments, **options), models)


@pytest.mark.parametrize("names", [["cosine"], ["dot"], ["euclidean"], NAMES])
def test_pairs(names, models) -> None:
    labels = np.random.default_rng(4).integers(0, 2, 40).tolist()
    options = {"similarity_fn_names": names}
    compare(
        evaluation.BinaryClassificationEvaluator(FIRST, SECOND, labels, **options),
        theirs.BinaryClassificationEvaluator(FIRST, SECOND, labels, **options),
        models,
    )


def test_retrieval(models) -> None:
    random = np.random.default_rng(5)
    queries = {f"q{number}": text for number, text in enumerate(FIRST[:20])}
    corpus = {str(number): text for number, text in enumerate(SECOND)}
    relevant = {key: {str(number) for number in random.integers(0, 40, random.integers(0, 5))} for key in queries}
    cuts = {"mrr_at_k": [3, 10], "ndcg_at_k": [5, 10], "map_at_k": [4, 100]}
    compare(
        evaluation.InformationRetrievalEvaluator(queries, corpus, relevant, **cuts),
        theirs.InformationRetrievalEvaluator(queries, corpus, relevant, **cuts),
        models,
    )


def samples() -> list[dict]:
    random = np.random.default_rng(6)
    return [
        {"query": query, "positive": SECOND[: random.integers(0, 5)], "negative": THIRD[: random.integers(0, 9)]}
        for query in FIRST[:20]
    ]


def test_reranking(models) -> None:
    compare(evaluation.RerankingEvaluator(samples(), at_k=5), theirs.RerankingEvaluator(samples(), at_k=5), models)


def test_reranking_of_a_cross_encoder(models) -> None:
    compare(evaluation.CrossEncoderRerankingEvaluator(samples()), TheirCrossEncoderReranking(samples()), models)
