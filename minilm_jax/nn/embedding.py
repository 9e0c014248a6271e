"""`embed`: the pure function to jit, differentiate, vmap, shard and export."""

from collections.abc import Mapping
from typing import Any

from jax import Array

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.encoder_params import config_of
from minilm_jax.nn.inputs import as_batch, text_mask
from minilm_jax.nn.partitioning import partitioned
from minilm_jax.nn.pooling import sentence_vectors
from minilm_jax.nn.settings import device_use
from minilm_jax.tokens.packed_rows import AnyBatch


@device_use()
def embed(
    params: Any,
    batch: AnyBatch | Mapping[str, Any],
    config: EncoderConfig | None = None,
    *,
    dropout_key: Array | None = None,
) -> Array:
    """Map token ids to sentence embeddings.

    A row's vector does not depend on the other rows or on its padding; a row with only padding gives zeros.

    Args:
        params: Nested dict of float32 arrays, see `minilm_jax.load_params`.
        batch: Token ids int[B, T] with their mask; an id outside the vocabulary, negative ones included, gives NaN, as
            compiled code cannot raise an error. Or packed rows, see `PackedBatch`; or a dict with the fields of a
            `Batch`.
        config: The config that params belong to; by default the one that they carry, or that of all-MiniLM-L6-v2 for a
            plain dict with its sizes.
        dropout_key: A `jax.random.key` for dropout with the probabilities of the config, as in training; None computes
            without dropout.

    Returns:
        float32[B, E], or [B, S, E] for S texts per packed row, where E is `config.embedding_size`; of unit length if
        `config.normalize`.

    Raises:
        InputError: The shapes of the batch do not fit each other or the position table, ids are not integers, params do
            not fit the config, texts are passed instead of a batch, or a gradient is taken of int8 params.

    Examples:
        >>> import jax
        >>> import minilm_jax as mj
        >>> params = mj.load_params()
        >>> batch = mj.tokenize(["A cat sleeps.", "A kitten naps.", "The central bank raised rates."])
        >>> vectors = jax.jit(mj.embed)(params, batch)
        >>> vectors.shape
        (3, 384)
        >>> [f"{cosine:.2f}" for cosine in vectors @ vectors[0]]
        ['1.00', '0.71', '-0.02']
    """
    return _embed(params, as_batch(batch), config_of(params, config), dropout_key)


@partitioned
def _embed(params: Any, batch: AnyBatch, config: EncoderConfig, key: Array | None) -> Array:
    hidden_state = encode(params, batch, config, dropout_key=key).last_hidden_state
    return sentence_vectors(params, hidden_state, text_mask(batch), config)
