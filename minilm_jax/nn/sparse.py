"""`embed_sparse`: the vector of a SPLADE encoder as a pure function to jit, differentiate, vmap, shard and export."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.config import EncoderConfig, SparseHead
from minilm_jax.errors import InputError
from minilm_jax.nn.dense import dense, dot
from minilm_jax.nn.encoder import ACTIVATIONS, encode, gelu
from minilm_jax.nn.encoder_params import config_of
from minilm_jax.nn.inputs import as_batch, text_mask
from minilm_jax.nn.partitioning import partitioned
from minilm_jax.nn.settings import device_use
from minilm_jax.tokens.packed_rows import AnyBatch

# The logits of this many tokens are computed at a time; with BERT's vocabulary they take 31 MB.
_CHUNK = 256


@device_use()
def embed_sparse(
    params: Any,
    batch: AnyBatch | Mapping[str, Any],
    config: EncoderConfig | None = None,
    *,
    dropout_key: Array | None = None,
) -> Array:
    """Map token ids to one weight per token of the vocabulary, most of which are 0.

    It computes max or sum over the tokens of log(1 + relu(logits)), as SPLADE does (Formal et al., 2021). The logits
    are computed for a few tokens at a time, so that the memory does not depend on the length of the texts.

    Args:
        params: Nested dict of float32 arrays with the head `predictions`.
        batch: Token ids int[B, T] with their mask, as for `embed`; or packed rows.
        config: The config that params belong to, with a sparse head; by default the one that they carry.
        dropout_key: A `jax.random.key` for dropout with the probabilities of the config, as in training; None computes
            without dropout.

    Returns:
        float32[B, V] for a vocabulary of V tokens, or [B, S, V] for S texts per packed row.

    Raises:
        InputError: The config has no sparse head; otherwise as for `embed`.

    Examples:
        >>> import dataclasses, jax, minilm_jax as mj
        >>> config = dataclasses.replace(mj.ALL_MINILM_L6_V2, sparse_head=mj.SparseHead())
        >>> params = mj.init_params(config, jax.random.key(0))
        >>> jax.jit(mj.embed_sparse)(params, mj.tokenize(["Hello world"])).shape
        (1, 30522)
    """
    batch, config = as_batch(batch), config_of(params, config)
    if config.sparse_head is None:
        raise InputError("the config has no sparse head; pass the params of a sparse encoder, or use mj.embed.")
    hidden_state = encode(params, batch, config, dropout_key=dropout_key).last_hidden_state
    return sparse_vectors(params, hidden_state, batch, config)


@partitioned
def sparse_vectors(params: Any, hidden_state: Array, batch: AnyBatch, config: EncoderConfig) -> Array:
    """Compute the result of `embed_sparse` from the last hidden state, float32[B, T, D]."""
    mask = text_mask(batch)
    rows, row_length = mask.shape[0], mask.shape[-1]
    by_text = mask.reshape(rows, -1, row_length)
    # Each token belongs to one text; padding belongs to one more, which is dropped.
    places = by_text.shape[1]
    owners = jnp.where(by_text.any(axis=1), by_text.argmax(axis=1).astype(jnp.int32), places)
    # A program for any shape, see `jax.export`, computes one token of each row at a time.
    length = max(1, _CHUNK // rows) if isinstance(rows, int) and isinstance(row_length, int) else 1
    missing = -row_length % length
    hidden_state = jnp.pad(hidden_state, ((0, 0), (0, missing), (0, 0)))
    owners = jnp.pad(owners, ((0, 0), (0, missing)), constant_values=places)
    chunks = [jnp.moveaxis(x.reshape(rows, -1, length, *x.shape[2:]), 1, 0) for x in (hidden_state, owners)]
    vectors = _pooled(params, chunks[0], chunks[1], places, config)
    return vectors.reshape(*mask.shape[:-1], config.vocab_size)


def _pooled(params: Any, chunks: Array, owners: Array, places: int, config: EncoderConfig) -> Array:
    """Pool tokens, float32[C, B, T, D] in C chunks, to the texts that own them, int32[C, B, T]: [B, places, V]."""
    assert config.sparse_head is not None
    head = config.sparse_head

    # Without a checkpoint, the gradient would keep the logits of all chunks.
    @jax.checkpoint
    def add(vectors: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        weights = jax.nn.relu(token_logits(params, chunk[0], config))
        if head.pooling == "max":
            return jax.vmap(lambda own, places, new: own.at[places].max(new))(vectors, chunk[1], weights), None
        weights = _saturated(weights, head)
        return jax.vmap(lambda own, places, new: own.at[places].add(new))(vectors, chunk[1], weights), None

    zeros = jnp.zeros((chunks.shape[1], places + 1, config.vocab_size), jnp.float32)
    vectors, _ = lax.scan(add, zeros, (chunks, owners))
    # The logarithm is monotonic, so the maximum can be taken first.
    return _saturated(vectors[:, :-1], head) if head.pooling == "max" else vectors[:, :-1]


def _saturated(weights: Array, head: SparseHead) -> Array:
    once = jnp.log1p(weights)
    return jnp.log1p(once) if head.activation == "log1p_relu" else once


def token_logits(params: Any, tokens: Array, config: EncoderConfig) -> Array:
    """Map float32[B, T, D] to the logits of the language model, float32[B, T, V]."""
    head, table = params["predictions"], params["embeddings"]["word_embeddings"]["embedding"]
    # RoBERTa always has the exact GELU here.
    activation = ACTIVATIONS[config.hidden_act] if config.padding_idx is None else gelu
    transformed = activation(dense(head["transform"]["dense"], tokens).astype(jnp.float32))
    norm = nn.LayerNorm(epsilon=config.layer_norm_eps, use_fast_variance=False)
    normed: Any = norm.apply({"params": head["transform"]["LayerNorm"]}, transformed)
    # Embeddings and logits share a table.
    return dot(normed, table.T) + head["bias"][None, None]
