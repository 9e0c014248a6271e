"""Losses of `minilm_jax.training.losses` compared with sentence-transformers: values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from sentence_transformers import util
from sentence_transformers.sentence_transformer import losses as theirs
from sentence_transformers.sparse_encoder import losses as sparse

from minilm_jax.training import losses as ours
from tests.helpers.tolerances import TORCH_LOSSES

ROWS, WIDTH = 12, 24
ALL_DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
RANKING = ours.multiple_negatives_ranking

# Name of the case: our loss, their module, number of columns, kind of labels.
CASES = {
    "ranking of pairs": (RANKING, theirs.MultipleNegativesRankingLoss(None), 2, None),
    "ranking with negatives": (RANKING, theirs.MultipleNegativesRankingLoss(None), 4, None),
    "ranking with a scale": (
        partial(RANKING, scale=7.0),
        theirs.MultipleNegativesRankingLoss(None, scale=7.0),
        3,
        None,
    ),
    "ranking in two directions": (
        partial(RANKING, directions=("query_to_doc", "doc_to_query")),
        theirs.MultipleNegativesRankingLoss(None, directions=("query_to_doc", "doc_to_query")),
        3,
        None,
    ),
    "ranking in all directions": (
        partial(RANKING, directions=ALL_DIRECTIONS),
        theirs.MultipleNegativesRankingLoss(None, directions=ALL_DIRECTIONS),
        4,
        None,
    ),
    "symmetric ranking": (
        ours.LOSSES["multiple_negatives_symmetric_ranking"].function,
        theirs.MultipleNegativesRankingLoss(
            None, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        ),
        3,
        None,
    ),
    "cosent": (ours.cosent, theirs.CoSENTLoss(None), 2, "scores"),
    "cosent with a scale": (partial(ours.cosent, scale=3.0), theirs.CoSENTLoss(None, scale=3.0), 2, "scores"),
    "angle": (ours.angle, theirs.AnglELoss(None), 2, "scores"),
    "angle of tuples": (ours.angle, theirs.AnglELoss(None), 4, None),
    "triplets": (ours.triplet, theirs.TripletLoss(None), 3, None),
    "triplets by cosine": (
        partial(ours.triplet, distance="cosine", margin=0.3),
        theirs.TripletLoss(None, theirs.TripletDistanceMetric.COSINE, 0.3),
        3,
        None,
    ),
    "triplets by Manhattan distance": (
        partial(ours.triplet, distance="manhattan", margin=1.0),
        theirs.TripletLoss(None, theirs.TripletDistanceMetric.MANHATTAN, 1.0),
        3,
        None,
    ),
    "margins": (ours.margin_mse, theirs.MarginMSELoss(None), 3, "margins"),
    "margins of several negatives": (ours.margin_mse, theirs.MarginMSELoss(None), 5, "teacher of negatives"),
    "margins of scores": (ours.margin_mse, theirs.MarginMSELoss(None), 5, "teacher"),
    "distillation": (ours.distill_kl, theirs.DistillKLDivLoss(None), 5, "teacher"),
    "distillation with temperatures": (
        partial(ours.distill_kl, student_temperature=2.0, teacher_temperature=3.0),
        theirs.DistillKLDivLoss(None, student_temperature=2.0, teacher_temperature=3.0),
        4,
        "teacher",
    ),
    "ranking of sparse vectors": (
        partial(RANKING, similarity="dot", scale=1.0),
        theirs.MultipleNegativesRankingLoss(None, scale=1.0, similarity_fct=util.dot_score),
        3,
        None,
    ),
    "cosine similarity": (ours.cosine_similarity, theirs.CosineSimilarityLoss(None), 2, "scores"),
}


def make_labels(kind, columns):
    rng = np.random.default_rng(9)
    if kind is None:
        return None
    if kind == "scores":  # Many are equal, as in real data.
        return rng.integers(0, 6, ROWS).astype(np.float32) / 5
    shape = {"margins": (ROWS,), "teacher of negatives": (ROWS, columns - 2), "teacher": (ROWS, columns - 1)}[kind]
    return rng.normal(0, 3, shape).astype(np.float32)


def expected(module, columns, labels):
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    loss = module.compute_loss_from_embeddings(tensors, None if labels is None else torch.tensor(labels))
    loss.backward()
    return loss.item(), [tensor.grad.numpy() for tensor in tensors]


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_equal_those_of_sentence_transformers(name):
    loss, module, count, kind = CASES[name]
    rng = np.random.default_rng(0)
    columns = list(rng.standard_normal((count, ROWS, WIDTH)).astype(np.float32))
    labels = make_labels(kind, count)
    value, gradients = expected(module, columns, labels)
    found = jax.jit(jax.value_and_grad(lambda vectors: loss(vectors, labels)))([jnp.asarray(c) for c in columns])
    np.testing.assert_allclose(found[0], value, rtol=TORCH_LOSSES)
    np.testing.assert_allclose(found[1], gradients, atol=TORCH_LOSSES)


class Columns(torch.nn.Module):
    """A model that returns given vectors, for losses that call a model."""

    def __init__(self, tensors):
        super().__init__()
        self.tensors = tensors

    def forward(self, features):
        return {"sentence_embedding": self.tensors[features["column"]]}

    def get_embedding_dimension(self):
        return WIDTH


def test_matryoshka_loss_equals_that_of_sentence_transformers():
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((2, ROWS, WIDTH)).astype(np.float32)
    labels, dims, weights = make_labels("scores", 2), [WIDTH, 8, 3], [1.0, 0.5, 2.0]
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    model = Columns(tensors)
    module = theirs.MatryoshkaLoss(model, theirs.CoSENTLoss(model), dims, weights)
    value = module([{"column": 0}, {"column": 1}], torch.tensor(labels))
    value.backward()
    loss = ours.matryoshka(ours.cosent, dims, weights)
    found = jax.value_and_grad(lambda vectors: loss(vectors, labels))([jnp.asarray(c) for c in columns])
    np.testing.assert_allclose(found[0], value.item(), rtol=TORCH_LOSSES)
    np.testing.assert_allclose(found[1], [tensor.grad for tensor in tensors], atol=TORCH_LOSSES)


def test_flops_and_splade_equal_those_of_sentence_transformers():
    columns = np.maximum(np.random.default_rng(0).standard_normal((3, ROWS, WIDTH)), 0).astype(np.float32)
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    flops = sparse.FlopsLoss(None).compute_loss_from_embeddings
    base = theirs.MultipleNegativesRankingLoss(None, scale=1.0, similarity_fct=util.dot_score)
    value = base.compute_loss_from_embeddings(tensors, None)
    value = value + 0.3 * flops(torch.cat(tensors[1:])) + 0.2 * flops(tensors[0])
    value.backward()
    loss = ours.splade(partial(RANKING, similarity="dot", scale=1.0), 0.3, 0.2)
    found = jax.value_and_grad(loss)([jnp.asarray(c) for c in columns])
    np.testing.assert_allclose(found[0], value.item(), rtol=TORCH_LOSSES)
    np.testing.assert_allclose(found[1], [tensor.grad for tensor in tensors], atol=TORCH_LOSSES)


@pytest.mark.parametrize("pos_weight", [None, 3.5])
def test_binary_cross_entropy_equals_that_of_torch(pos_weight):
    logits = np.random.default_rng(0).normal(0, 4, (ROWS, 1)).astype(np.float32)
    labels = make_labels("scores", 1)
    tensor = torch.tensor(logits, requires_grad=True)
    weight = None if pos_weight is None else torch.tensor(pos_weight)
    value = torch.nn.BCEWithLogitsLoss(pos_weight=weight)(tensor.view(-1), torch.tensor(labels))
    value.backward()
    loss = partial(ours.binary_cross_entropy, pos_weight=pos_weight)
    found = jax.value_and_grad(lambda x: loss([x], labels))(jnp.asarray(logits))
    np.testing.assert_allclose(found[0], value.item(), rtol=TORCH_LOSSES)
    np.testing.assert_allclose(found[1], tensor.grad, atol=TORCH_LOSSES)


def test_cross_entropy_equals_that_of_torch():
    logits = np.random.default_rng(0).normal(0, 4, (ROWS, 3)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, ROWS)
    tensor = torch.tensor(logits, requires_grad=True)
    value = torch.nn.CrossEntropyLoss()(tensor, torch.tensor(labels))
    value.backward()
    found = jax.value_and_grad(lambda x: ours.cross_entropy([x], labels))(jnp.asarray(logits))
    np.testing.assert_allclose(found[0], value.item(), rtol=TORCH_LOSSES)
    np.testing.assert_allclose(found[1], tensor.grad, atol=TORCH_LOSSES)
