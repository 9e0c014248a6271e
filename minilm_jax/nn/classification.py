"""`classify`: the scores of a cross-encoder as a pure function to jit, differentiate, vmap, shard and export."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from minilm_jax.config import EncoderConfig
from minilm_jax.errors import InputError
from minilm_jax.nn.dense import dense
from minilm_jax.nn.dropout import dropout, split_key
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.encoder_params import config_of
from minilm_jax.nn.inputs import as_batch, text_mask
from minilm_jax.nn.partitioning import partitioned
from minilm_jax.nn.pooling import pool
from minilm_jax.nn.settings import device_use
from minilm_jax.tokens.packed_rows import AnyBatch

_ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


@device_use()
def classify(
    params: Any,
    batch: AnyBatch | Mapping[str, Any],
    config: EncoderConfig | None = None,
    *,
    dropout_key: Array | None = None,
) -> Array:
    """Map the token ids of texts, or of pairs of texts, to the logits of a classifier.

    It computes `classifier(activation(pooler(first token)))`, as BertForSequenceClassification,
    RobertaForSequenceClassification and DistilBertForSequenceClassification of transformers do.

    Args:
        params: Nested dict of float32 arrays with a pooler and a classifier.
        batch: Token ids int[B, T] with their mask and token types, as for `embed`; or packed rows.
        config: The config that params belong to, with a classifier; by default the one that they carry.
        dropout_key: A `jax.random.key` for dropout with the probabilities of the config, as in training; None computes
            without dropout.

    Returns:
        float32[B, L] for L labels, or [B, S, L] for S texts per packed row.

    Raises:
        InputError: The config has no classifier; otherwise as for `embed`.

    Examples:
        >>> import dataclasses, jax, minilm_jax as mj
        >>> config = dataclasses.replace(mj.ALL_MINILM_L6_V2, classifier=mj.Classifier(("relevance",)))
        >>> params = mj.init_params(config, jax.random.key(0))
        >>> batch = mj.tokenize([("How many people live in Berlin?", "Berlin has 3.5 million inhabitants.")])
        >>> jax.jit(mj.classify)(params, batch).shape
        (1, 1)
    """
    batch, config = as_batch(batch), config_of(params, config)
    if config.classifier is None:
        raise InputError("the config has no classifier; pass the params of a cross-encoder, or use mj.embed.")
    key, head_key = split_key(dropout_key, 2)
    hidden_state = encode(params, batch, config, dropout_key=key).last_hidden_state
    return logits(params, hidden_state, batch, config, head_key)


@partitioned
def logits(
    params: Any, hidden_state: Array, batch: AnyBatch, config: EncoderConfig, dropout_key: Array | None = None
) -> Array:
    """Compute the result of `classify` from the last hidden state, float32[B, T, D]."""
    assert config.classifier is not None
    first = pool(hidden_state, text_mask(batch), "cls")
    pooled = _ACTIVATIONS[config.classifier.activation](dense(params["pooler"]["dense"], first))
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return dense(params["classifier"], dropout(pooled, rate, dropout_key))
