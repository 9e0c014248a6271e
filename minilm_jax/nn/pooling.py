"""Pooling of token vectors to one sentence vector by masked mean or first token, and L2 normalization."""

import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.config import Pooling

# sentence-transformers divides by max(norm, 1e-12); this is the square of that bound.
_SMALLEST_SQUARED_NORM = 1e-24


def pool(hidden_state: Array, mask: Array, pooling: Pooling) -> Array:
    """Pool the token vectors of each text; a text without attended tokens gives zeros.

    Args:
        hidden_state: float[B, T, D].
        mask: bool[B, T], true at attended tokens; or bool[B, S, T] for S texts per row.
        pooling: "mean" over the attended tokens, or "cls" for the first token.

    Returns:
        float[B, D] or [B, S, D].
    """
    weights = mask.astype(hidden_state.dtype)
    if pooling == "cls" and mask.ndim == 2:
        return hidden_state[:, 0] * weights[:, :1]
    if pooling == "cls":
        weights = jnp.where(jnp.cumsum(weights, axis=-1) == 1, weights, 0)
    total = jnp.einsum("btd,b...t->b...d", hidden_state, weights, precision=lax.Precision.HIGHEST)
    return total / jnp.maximum(weights.sum(axis=-1, keepdims=True), 1.0)


def l2_normalize(vectors: Array) -> Array:
    """Scale vectors to unit length; a zero vector stays zero and has finite gradients.

    Args:
        vectors: float[..., D].

    Returns:
        float[..., D].
    """
    squared_norm = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * lax.rsqrt(jnp.maximum(squared_norm, _SMALLEST_SQUARED_NORM))
