"""The result of a model for each text, whatever its head is."""

from typing import Any

from jax import Array

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.classification import logits
from minilm_jax.nn.dropout import split_key
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.encoder_params import config_of
from minilm_jax.nn.inputs import text_mask
from minilm_jax.nn.partitioning import partitioned
from minilm_jax.nn.pooling import sentence_vectors
from minilm_jax.nn.sparse import sparse_vectors
from minilm_jax.tokens.packed_rows import AnyBatch


def results_and_hidden_state(
    params: Any, batch: AnyBatch, config: EncoderConfig, dropout_key: Array | None = None
) -> tuple[Array, Array]:
    """Compute the result of `classify`, `embed_sparse` or `embed`, by the head of the config, and the token vectors.

    Args:
        params: The parameter tree.
        batch: Token ids, or packed rows.
        config: The config of the params.
        dropout_key: A `jax.random.key` for dropout, or None.

    Returns:
        float32[B, E] or [B, S, E], where E is `config.output_size`; and the last hidden state, float32[B, T, D], at no
        further cost.
    """
    return _compute(params, batch, config_of(params, config), dropout_key)


@partitioned
def _compute(params: Any, batch: AnyBatch, config: EncoderConfig, key: Array | None) -> tuple[Array, Array]:
    key, head_key = split_key(key, 2)
    hidden_state = encode(params, batch, config, dropout_key=key).last_hidden_state
    if config.classifier is not None:
        return logits(params, hidden_state, batch, config, head_key), hidden_state
    if config.sparse_head is not None:
        return sparse_vectors(params, hidden_state, batch, config), hidden_state
    return sentence_vectors(params, hidden_state, text_mask(batch), config), hidden_state
