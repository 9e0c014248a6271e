"""Self-attention, in the form that each backend runs fastest; `jax.lax.platform_dependent` picks one at lowering."""

import jax
import jax.numpy as jnp
from jax import Array, lax


def attention(query: Array, key: Array, value: Array, mask: Array, *, num_heads: int) -> Array:
    """Scaled dot-product attention of every head, softmax(Q Kᵀ / √H) V (Vaswani et al., 2017, eq. 1).

    Args:
        query: float[B, T, D]; the heads lie side by side in D = N · H.
        key: float[B, T, D].
        value: float[B, T, D].
        mask: bool[B, T], true at the tokens that may be attended to; a row without any attends evenly to all.
        num_heads: N.

    Returns:
        float[B, T, D], the heads side by side again.
    """
    query = query * (query.shape[-1] // num_heads) ** -0.5
    bias = jnp.where(mask, 0.0, jnp.finfo(query.dtype).min).astype(query.dtype)[:, None, :]

    def head_by_head(*operands: Array) -> Array:
        return _head_by_head(*operands, num_heads=num_heads)

    def all_heads_at_once(*operands: Array) -> Array:
        return _all_heads_at_once(*operands, num_heads=num_heads)

    return lax.platform_dependent(query, key, value, bias, cpu=head_by_head, default=all_heads_at_once)


def _head_by_head(query: Array, key: Array, value: Array, bias: Array, *, num_heads: int) -> Array:
    # On CPU a matmul batched over B · N costs five times this loop, whose heads XLA fuses with their softmax.
    def head(q: Array, k: Array, v: Array) -> Array:
        scores = jnp.einsum("bth,bsh->bts", q, k, precision=lax.Precision.HIGHEST)
        return jnp.einsum("bts,bsh->bth", jax.nn.softmax(scores + bias), v, precision=lax.Precision.HIGHEST)

    heads = zip(*(jnp.split(x, num_heads, axis=-1) for x in (query, key, value)), strict=True)
    return jnp.concatenate([head(q, k, v) for q, k, v in heads], axis=-1)


def _all_heads_at_once(query: Array, key: Array, value: Array, bias: Array, *, num_heads: int) -> Array:
    q, k, v = (x.reshape(*x.shape[:2], num_heads, -1) for x in (query, key, value))
    scores = jnp.einsum("btnh,bsnh->bnts", q, k, precision=lax.Precision.HIGHEST)
    weights = jax.nn.softmax(scores + bias[:, None])
    return jnp.einsum("bnts,bsnh->btnh", weights, v, precision=lax.Precision.HIGHEST).reshape(query.shape)
