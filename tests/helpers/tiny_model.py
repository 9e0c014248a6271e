"""A two-layer BERT configuration for fast tests, and random parameters for any configuration."""

import jax.numpy as jnp
import numpy as np

import minilm_jax as mj
from minilm_jax.nn.params import abstract, flatten, unflatten

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
    random = np.random.default_rng(seed)
    params = {
        path: jnp.asarray(random.normal(path.endswith("scale"), 0.1, leaf.shape), jnp.float32)
        for path, leaf in flatten(abstract(config, pooler=pooler)).items()
    }
    return mj.EncoderParams(unflatten(params), config)
