"""Self-attention, in the form that is fastest for the backend, the length and the dtype."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.config import AttentionImplementation
from minilm_jax.nn.dense import HALF_TYPES
from minilm_jax.nn.dropout import dropout, split_key

# From this length on, a loop over the heads is up to 8 % faster on CPU. For shorter rows it only takes two or three
# times as long to compile.
_LONG = 192


def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    *,
    num_heads: int,
    implementation: AttentionImplementation = "xla",
    dropout_rate: float = 0.0,
    dropout_key: Array | None = None,
) -> Array:
    """Compute scaled dot-product attention for every head, softmax(Q Kᵀ / √H) V (Vaswani et al., 2017, eq. 1).

    Args:
        query: float[B, T, D], where D = N · H holds the heads one after the other.
        key: float[B, T, D].
        value: float[B, T, D].
        mask: bool[B, T], true at attended tokens; or bool[B, T, T], one mask per token. A row without
            attended tokens attends to all tokens equally.
        num_heads: N.
        implementation: "xla", which runs everywhere, or "cudnn", NVIDIA's kernel for 16-bit inputs without dropout.
        dropout_rate: The probability with which an attention weight becomes zero.
        dropout_key: A `jax.random.key`, or None for no dropout.

    Returns:
        float[B, T, D], with the heads in the same order. 16-bit inputs are multiplied in 16 bits; "xla" then returns
        float32.
    """
    mask = mask if mask.ndim == 3 else mask[:, None]
    if implementation == "cudnn" and dropout_key is None:
        return _cudnn(query, key, value, mask, num_heads=num_heads)
    sums = jnp.float32 if query.dtype in HALF_TYPES else query.dtype
    query = (query.astype(sums) * (query.shape[-1] // num_heads) ** -0.5).astype(query.dtype)
    bias = jnp.where(mask, 0.0, jnp.finfo(sums).min).astype(sums)
    batched, per_head, by_einsum = (
        functools.partial(form, num_heads=num_heads, dropout_rate=dropout_rate)
        for form in (_batched, _per_head, _by_einsum)
    )
    # Symbolic lengths, in exported programs, are not ints.
    is_long = isinstance(query.shape[1], int) and query.shape[1] >= _LONG
    inputs = (query, key, value, bias, dropout_key)
    return lax.platform_dependent(*inputs, cpu=per_head if is_long else batched, default=by_einsum)


def _batched(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    drop: Array | None = None,
    *,
    num_heads: int,
    dropout_rate: float = 0.0,
) -> Array:
    rows, length, width = query.shape
    size = width // num_heads

    # With the shape [B · N, T, H], each product is one batched matmul; an einsum over N is up to 50 % slower on CPU.
    def split(x: Array) -> Array:
        return x.reshape(rows, length, num_heads, size).swapaxes(1, 2).reshape(rows * num_heads, length, size)

    bias = jnp.repeat(bias, num_heads, axis=0)
    mixed = _mix(split(query), split(key), split(value), bias, drop, dropout_rate)
    return mixed.reshape(rows, num_heads, length, size).swapaxes(1, 2).reshape(rows, length, width)


def _per_head(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    drop: Array | None = None,
    *,
    num_heads: int,
    dropout_rate: float = 0.0,
) -> Array:
    heads = zip(*(jnp.split(x, num_heads, axis=-1) for x in (query, key, value)), strict=True)
    keys = split_key(drop, num_heads)
    mixed = [_mix(q, k, v, bias, own, dropout_rate) for (q, k, v), own in zip(heads, keys, strict=True)]
    return jnp.concatenate(mixed, axis=-1)


def _cudnn(
    query: Array, key: Array, value: Array, mask: Array, *, num_heads: int, library: AttentionImplementation = "cudnn"
) -> Array:
    rows, length, width = query.shape
    heads = [x.reshape(rows, length, num_heads, width // num_heads) for x in (query, key, value)]
    mask = jnp.broadcast_to(mask, (rows, length, length))[:, None]
    return jax.nn.dot_product_attention(*heads, mask=mask, implementation=library).reshape(query.shape)


def _by_einsum(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    drop: Array | None = None,
    *,
    num_heads: int,
    dropout_rate: float = 0.0,
) -> Array:
    # For heads of size 32, the TPU compiler moves fewer bytes with this form than with `_batched`.
    q, k, v = (x.reshape(*x.shape[:2], num_heads, x.shape[2] // num_heads) for x in (query, key, value))
    equations = ("btnh,bsnh->bnts", "bnts,bsnh->btnh")
    return _mix(q, k, v, bias[:, None], drop, dropout_rate, equations).reshape(query.shape)


def _mix(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    drop: Array | None,
    dropout_rate: float,
    equations: tuple[str, str] = ("bth,bsh->bts", "bts,bsh->bth"),
) -> Array:
    # Without Precision.HIGHEST, accelerators compute float32 products with fewer digits. For 16-bit inputs, HIGHEST
    # would only add copies.
    precision = None if query.dtype in HALF_TYPES else lax.Precision.HIGHEST
    product = functools.partial(jnp.einsum, precision=precision, preferred_element_type=bias.dtype)
    scores = product(equations[0], query, key)
    weights = dropout(jax.nn.softmax(scores + bias), dropout_rate, drop)
    return product(equations[1], weights.astype(value.dtype), value)
