"""`embed_sparse`: the formula of SPLADE in every form of batch, with gradients."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import SparseActivation, SparsePooling
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.packed_rows import NO_TEXT, pack
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import TOKEN_VECTORS

CONFIG = dataclasses.replace(TINY, sparse_head=mj.SparseHead())
TOKENS = RaggedIds(np.arange(1, 21, dtype=np.int32), np.array([5, 9, 6], np.int32))
BATCH = TOKENS.pad(np.arange(3), (3, 12))


@pytest.fixture(scope="module")
def params() -> mj.EncoderParams:
    return random_params(CONFIG, seed=4)


def reference(params: Any, config: mj.EncoderConfig) -> Any:
    """Compute the vectors with the logits of all tokens at once."""
    assert config.sparse_head is not None
    hidden, head = mj.encode(params, BATCH, config).last_hidden_state, params["predictions"]
    dense, norm = head["transform"]["dense"], head["transform"]["LayerNorm"]
    wide = jax.nn.gelu(jnp.dot(hidden, dense["kernel"]) + dense["bias"][None, None], approximate=False)
    centered = wide - wide.mean(axis=-1, keepdims=True)
    normed = centered / jnp.sqrt(wide.var(axis=-1, keepdims=True) + config.layer_norm_eps)
    normed = normed * norm["scale"][None, None] + norm["bias"][None, None]
    logits = jnp.dot(normed, params["embeddings"]["word_embeddings"]["embedding"].T) + head["bias"][None, None]
    weights = jnp.log1p(jnp.maximum(logits, 0)) * BATCH.attention_mask[..., None].astype(np.float32)
    weights = jnp.log1p(weights) if config.sparse_head.activation == "log1p_relu" else weights
    return weights.max(axis=1) if config.sparse_head.pooling == "max" else weights.sum(axis=1)


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_weights_are_saturated_logits_pooled_over_tokens(
    params: mj.EncoderParams, pooling: SparsePooling, activation: SparseActivation
) -> None:
    config = dataclasses.replace(CONFIG, sparse_head=mj.SparseHead(pooling, activation))
    found = jax.jit(mj.embed_sparse)(params, BATCH, config)
    np.testing.assert_allclose(found, reference(params, config), rtol=0, atol=10 * TOKEN_VECTORS)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_packed_rows_have_the_vectors_of_padded_ones(params: mj.EncoderParams, pooling: SparsePooling) -> None:
    config = dataclasses.replace(CONFIG, sparse_head=mj.SparseHead(pooling))
    padded = np.asarray(mj.embed_sparse(params, BATCH, config))
    texts = np.array([[0, 1], [2, NO_TEXT]])
    packed = np.asarray(mj.embed_sparse(params, pack(TOKENS, texts, 15), config))
    assert packed.shape == (2, 2, 99)
    np.testing.assert_allclose(packed[texts != NO_TEXT], padded, rtol=0, atol=TOKEN_VECTORS)
    assert not packed[1, 1].any()


def test_logits_are_computed_in_chunks(params: mj.EncoderParams, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.asarray(mj.embed_sparse(params, BATCH))
    monkeypatch.setattr("minilm_jax.nn.sparse._CHUNK", 6)
    program = jax.jit(lambda params, batch: mj.embed_sparse(params, batch)).lower(params, BATCH).as_text()
    # Two tokens of three rows at a time, so no array has the logits of all 12.
    assert "tensor<3x2x99xf32>" in program
    assert "tensor<3x12x99xf32>" not in program
    np.testing.assert_allclose(mj.embed_sparse(params, BATCH), whole, rtol=0, atol=TOKEN_VECTORS)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_gradients_are_those_of_the_formula(params: mj.EncoderParams, pooling: SparsePooling) -> None:
    config = dataclasses.replace(CONFIG, sparse_head=mj.SparseHead(pooling))
    found = jax.grad(lambda params: jnp.square(mj.embed_sparse(params, BATCH, config)).sum())(params)
    expected = jax.grad(lambda params: jnp.square(reference(params, config)).sum())(params)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for own, leaf in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(own, leaf, rtol=0, atol=10 * TOKEN_VECTORS * scale)


def test_params_without_the_head_are_refused(params: mj.EncoderParams) -> None:
    with pytest.raises(mj.InputError, match="has no sparse head"):
        mj.embed_sparse(params, BATCH, TINY)
    with pytest.raises(mj.InputError, match=r"predictions\.transform\.dense\.kernel is missing"):
        mj.embed_sparse(random_params(TINY, seed=1), BATCH, CONFIG)
