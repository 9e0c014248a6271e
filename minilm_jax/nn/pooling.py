"""Pooling of token vectors to one sentence vector, projections of that vector, and L2 normalization."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.config import EncoderConfig, PoolingMode
from minilm_jax.nn.dense import dense

# sentence-transformers divides by max(norm, 1e-12); this is the square of that bound.
SMALLEST_SQUARED_NORM = 1e-24
# The epsilon of torch's LayerNorm, which sentence-transformers uses in projections.
_LAYER_NORM_EPSILON = 1e-5
_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "sigmoid": jax.nn.sigmoid,
}


def sentence_vectors(params: Any, hidden_state: Array, mask: Array, config: EncoderConfig) -> Array:
    """Pool the token vectors of each text, and apply the projections and the normalization of a model.

    Args:
        params: The parameter tree, which contains `projections` if the config has any.
        hidden_state: float[B, T, D].
        mask: bool[B, T], true at attended tokens; or bool[B, S, T] for S texts per row.
        config: The encoder's config.

    Returns:
        float[B, E] or [B, S, E], where E is the embedding size.
    """
    parts = [pool(hidden_state, mask, mode) for mode in config.pooling_modes]
    vectors = parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)
    for index, projection in enumerate(config.projections):
        own = params["projections"][str(index)]
        if projection.kind == "dense":
            vectors = _ACTIVATIONS[projection.activation](dense(own["dense"], vectors).astype(vectors.dtype))
        else:
            vectors = _layer_norm(own["LayerNorm"], vectors)
    return l2_normalize(vectors) if config.normalize else vectors


def pool(hidden_state: Array, mask: Array, mode: PoolingMode) -> Array:
    """Pool the token vectors of each text; a text without attended tokens gives zeros.

    Args:
        hidden_state: float[B, T, D].
        mask: bool[B, T], true at attended tokens; or bool[B, S, T] for S texts per row.
        mode: One of the modes of sentence-transformers: "mean" of the attended tokens; "cls", the first of them;
            "max" in each dimension; "mean_sqrt_len", their sum divided by the square root of their number;
            "weighted_mean", weighted by their position, from 1; "last_token".

    Returns:
        float[B, D] or [B, S, D].
    """
    if mode == "max":
        return _max(hidden_state, mask)
    weights = _weights(mask, mode).astype(hidden_state.dtype)
    total = jnp.einsum("btd,b...t->b...d", hidden_state, weights, precision=lax.Precision.HIGHEST)
    divisor = jnp.maximum(weights.sum(axis=-1, keepdims=True), 1.0)
    return total / (jnp.sqrt(divisor) if mode == "mean_sqrt_len" else divisor)


def _weights(mask: Array, mode: PoolingMode) -> Array:
    """Return the weight of each token, int or bool[..., T]."""
    if mode in ("mean", "mean_sqrt_len"):
        return mask
    places = lax.broadcasted_iota(jnp.int32, mask.shape, mask.ndim - 1) + 1
    if mode == "weighted_mean":
        # A text's tokens are counted from its first one, wherever it is in its row.
        first = jnp.where(mask, places, mask.shape[-1]).min(axis=-1, keepdims=True)
        return jnp.where(mask, places - first + 1, 0)
    attended = jnp.where(mask, places, 0)
    chosen = attended.max(axis=-1, keepdims=True)
    if mode == "cls":
        chosen = jnp.where(mask, places, mask.shape[-1]).min(axis=-1, keepdims=True)
    return mask & (places == chosen)


def _max(hidden_state: Array, mask: Array) -> Array:
    if mask.ndim == 3:
        # [B, S, T, D] would take S times the memory of the token vectors, so texts are pooled one after the other.
        return jnp.moveaxis(lax.map(lambda own: _max(hidden_state, own), jnp.moveaxis(mask, 1, 0)), 0, 1)
    highest = jnp.where(mask[..., None], hidden_state, -jnp.inf).max(axis=1)
    return jnp.where(mask.any(axis=1, keepdims=True), highest, 0.0)


def _layer_norm(params: Mapping[str, Array], x: Array) -> Array:
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
    scale, bias = (params[name].reshape((1,) * (x.ndim - 1) + (-1,)) for name in ("scale", "bias"))
    return centered * lax.rsqrt(variance + _LAYER_NORM_EPSILON) * scale + bias


def l2_normalize(vectors: Array) -> Array:
    """Scale vectors to unit length; a zero vector stays zero and has finite gradients.

    Args:
        vectors: float[..., D].

    Returns:
        float[..., D].
    """
    squared_norm = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * lax.rsqrt(jnp.maximum(squared_norm, SMALLEST_SQUARED_NORM))
