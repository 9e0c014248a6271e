"""The network: parameters, encoder, pooling and precisions as pure JAX functions."""

import jax

from minilm_jax.config import ALL_MINILM_L6_V2 as ALL_MINILM_L6_V2, EncoderConfig as EncoderConfig

# The class is registered here and not in `config`, because the command line imports `config` without jax.
jax.tree_util.register_static(EncoderConfig)
