"""Self-attention, in the form that each backend, length and type of number runs fastest."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.config import AttentionImplementation
from minilm_jax.nn.dense import HALF_TYPES

# From this length on, a loop over the heads is 8 % faster on CPU in float32; below it, it only takes longer to compile.
_LONG = 128


def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    *,
    num_heads: int,
    implementation: AttentionImplementation = "xla",
) -> Array:
    """Scaled dot-product attention of every head, softmax(Q Kᵀ / √H) V (Vaswani et al., 2017, eq. 1).

    Args:
        query: float[B, T, D]; the heads lie side by side in D = N · H.
        key: float[B, T, D].
        value: float[B, T, D].
        mask: bool[B, T], true at the tokens that may be attended to, or bool[B, T, T], for each token those that it may
            attend to; where there is none, all are attended to evenly.
        num_heads: N.
        implementation: "xla", which runs everywhere, or "cudnn", NVIDIA's kernel for 16-bit arguments.

    Returns:
        float[B, T, D], the heads side by side again; from "xla" float32 where the arguments, which are multiplied as
        they are, have 16 bits.
    """
    mask = mask if mask.ndim == 3 else mask[:, None]
    if implementation == "cudnn":
        return _fused(query, key, value, mask, num_heads=num_heads)
    sums = jnp.float32 if query.dtype in HALF_TYPES else query.dtype
    query = (query.astype(sums) * (query.shape[-1] // num_heads) ** -0.5).astype(query.dtype)
    bias = jnp.where(mask, 0.0, jnp.finfo(sums).min).astype(sums)
    at_once, one_by_one, split = (
        functools.partial(form, num_heads=num_heads) for form in (_at_once, _one_by_one, _split)
    )
    # A symbolic length, of a program that is exported, is no int.
    is_long = isinstance(query.shape[1], int) and query.shape[1] >= _LONG
    return lax.platform_dependent(query, key, value, bias, cpu=one_by_one if is_long else at_once, default=split)


def _at_once(query: Array, key: Array, value: Array, bias: Array, *, num_heads: int) -> Array:
    rows, length, width = query.shape

    # Laid out as [B · N, T, H]: one batched matmul a product, where an einsum over N is up to half slower on CPU.
    def split(x: Array) -> Array:
        return x.reshape(rows, length, num_heads, -1).swapaxes(1, 2).reshape(rows * num_heads, length, -1)

    mixed = _mix(split(query), split(key), split(value), jnp.repeat(bias, num_heads, axis=0))
    return mixed.reshape(rows, num_heads, length, -1).swapaxes(1, 2).reshape(rows, length, width)


def _one_by_one(query: Array, key: Array, value: Array, bias: Array, *, num_heads: int) -> Array:
    heads = zip(*(jnp.split(x, num_heads, axis=-1) for x in (query, key, value)), strict=True)
    return jnp.concatenate([_mix(q, k, v, bias) for q, k, v in heads], axis=-1)


def _fused(
    query: Array, key: Array, value: Array, mask: Array, *, num_heads: int, library: AttentionImplementation = "cudnn"
) -> Array:
    rows, length, _ = query.shape
    heads = [x.reshape(rows, length, num_heads, -1) for x in (query, key, value)]
    mask = jnp.broadcast_to(mask, (rows, length, length))[:, None]
    return jax.nn.dot_product_attention(*heads, mask=mask, implementation=library).reshape(query.shape)


def _split(query: Array, key: Array, value: Array, bias: Array, *, num_heads: int) -> Array:
    # The compiler for TPUs finds a layout for heads of 32 that moves fewer bytes than that of `_at_once`.
    q, k, v = (x.reshape(*x.shape[:2], num_heads, -1) for x in (query, key, value))
    return _mix(q, k, v, bias[:, None], ("btnh,bsnh->bnts", "bnts,bsnh->btnh")).reshape(query.shape)


def _mix(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    equations: tuple[str, str] = ("bth,bsh->bts", "bts,bsh->bth"),
) -> Array:
    # Without HIGHEST a float32 product is of fewer digits on accelerators; for 16 bits it would only cost copies.
    precision = None if query.dtype in HALF_TYPES else lax.Precision.HIGHEST
    product = functools.partial(jnp.einsum, precision=precision, preferred_element_type=bias.dtype)
    scores = product(equations[0], query, key)
    return product(equations[1], jax.nn.softmax(scores + bias).astype(value.dtype), value)
