"""Losses of `minilm_jax.training.losses` compared with sentence-transformers: values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import losses as theirs

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
