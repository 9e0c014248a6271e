"""A two-layer BERT configuration for fast tests, and random parameters for any configuration."""

import jax
import numpy as np

import minilm_jax as mj
from minilm_jax.nn.params import flatten, unflatten

TINY = mj.EncoderConfig(
    vocab_size=99,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=16,
    type_vocab_size=2,
)
TINY_BATCH = mj.Batch(np.arange(12, dtype=np.int32).reshape(2, 6), np.ones((2, 6), np.int32))


def random_params(config: mj.EncoderConfig, seed: int, *, pooler: bool = True) -> mj.EncoderParams:
    """Return random parameters that all affect the result: no bias is 0 and no scale is 1."""
    first, second = jax.random.split(jax.random.key(seed))
    params = flatten(mj.init_params(config, first, pooler=pooler))
    keys = jax.random.split(second, len(params))
    shifted = {
        path: leaf + 0.1 * jax.random.normal(key, leaf.shape)
        for key, (path, leaf) in zip(keys, params.items(), strict=True)
    }
    return mj.EncoderParams(unflatten(shifted), config)
