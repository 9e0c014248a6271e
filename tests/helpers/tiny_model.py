"""A two-layer BERT configuration for fast tests, and random parameters for any configuration."""

import jax
import numpy as np

import minilm_jax as mj
from minilm_jax.nn.params import Params, abstract, flatten, unflatten

TINY = mj.EncoderConfig(
    vocab_size=99,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=16,
)
TINY_BATCH = mj.Batch(np.arange(12, dtype=np.int32).reshape(2, 6), np.ones((2, 6), np.int32))


def random_params(config: mj.EncoderConfig, seed: int, *, pooler: bool = True) -> Params:
    """Return random parameters that all affect the result: no bias is 0 and no scale is 1."""
    random = np.random.default_rng(seed)
    offsets = {"bias": 0.0, "scale": 1.0}
    drawn: dict[str, jax.Array] = {}
    # numpy, because jax would compile a program for every shape.
    for path, leaf in flatten(abstract(config, pooler=pooler)).items():
        values = offsets.get(path.rpartition(".")[2], 0.0) + 0.1 * random.standard_normal(leaf.shape)
        drawn[path] = jax.device_put(values.astype(np.float32))
    return unflatten(drawn)
