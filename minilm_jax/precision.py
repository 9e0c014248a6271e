"""The float32, bfloat16 and int8 forms of one parameter tree, and the dense layer on each of them."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from minilm_jax.errors import InputError
from minilm_jax.integer_dot import dot_uint8_int8
from minilm_jax.params import Params, flatten, unflatten

Precision = Literal["float32", "bfloat16", "int8"]

# Levels of an activation, 0 to 255, and of a weight, -127 to 127.
_LEVELS, _WEIGHT_LEVELS = 255, 127


def cast(params: Mapping[str, Any], precision: Precision) -> Params:
    """Gives the parameters another precision; `embed` and `encode` take every one.

    Args:
        params: Nested dict of float32 arrays.
        precision: "float32"; "bfloat16" rounds embeddings and kernels to it and multiplies in it; "int8" holds the
            encoder's kernels in 8 bits, one scale an output feature, and multiplies in 8 bits, each token with a scale
            and a zero point of its own, so that a text's vector depends on nothing else. Sums, LayerNorm and attention
            stay float32. int8 has no gradients.

    Returns:
        A new tree; in int8 each encoder kernel has `kernel_scale` and `kernel_sum` beside it.

    Raises:
        InputError: The precision is unknown, or params are not float32.
    """
    if precision not in get_args(Precision):
        raise InputError(f"precision is {precision!r}; it must be one of {', '.join(get_args(Precision))}.")
    leaves = flatten(params)
    for path, leaf in leaves.items():
        if leaf.dtype != jnp.float32:
            raise InputError(f"{path} is {leaf.dtype}; cast starts from float32 params, see load_params.")
    if precision == "float32":
        return unflatten(leaves)
    return unflatten({name: leaf for path in leaves for name, leaf in _cast(path, leaves[path], precision).items()})


def dense(params: Mapping[str, Array], x: Array) -> Array:
    """Computes x · kernel + bias in the precision that the kernel has.

    Args:
        params: `kernel` [D, F], `bias` float32[F], and in int8 `kernel_scale` float32[F] and `kernel_sum` int32[F].
        x: float32[..., D].

    Returns:
        float32[..., F].
    """
    kernel = params["kernel"]
    if kernel.dtype == jnp.int8:
        product = lax.platform_dependent(x, params, cpu=_dot_quantized, default=_dot_scaled)
    else:
        product = _dot(x, kernel)
    return product + _row(params["bias"], x)


def _cast(path: str, leaf: Array, precision: Precision) -> dict[str, Array]:
    name = path.rpartition(".")[2]
    if name == "embedding" or (name == "kernel" and (precision == "bfloat16" or not path.startswith("encoder."))):
        return {path: jnp.asarray(leaf, jnp.bfloat16)}
    if name != "kernel":
        return {path: leaf}
    kernel = np.asarray(leaf)
    scale = np.maximum(np.abs(kernel).max(axis=0), np.finfo(np.float32).tiny) / _WEIGHT_LEVELS
    values = np.rint(kernel / scale).astype(np.int8)
    sums = values.sum(axis=0, dtype=np.int32)
    quantized = {path: values, f"{path}_scale": scale.astype(np.float32), f"{path}_sum": sums}
    return {name: jnp.asarray(array) for name, array in quantized.items()}


def _dot(x: Array, kernel: Array) -> Array:
    # Without HIGHEST a float32 product is TF32 on a GPU and bfloat16 on a TPU.
    precision = lax.Precision.HIGHEST if kernel.dtype == jnp.float32 else None
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(
        x.astype(kernel.dtype), kernel, dimensions, precision=precision, preferred_element_type=x.dtype
    )


def _dot_quantized(x: Array, params: Mapping[str, Array]) -> Array:
    # Asymmetric, x ≈ scale · (values - zero): GELU leaves hardly anything below zero to spend half of the levels on.
    low = jnp.minimum(x.min(axis=-1, keepdims=True), 0.0)
    high = jnp.maximum(x.max(axis=-1, keepdims=True), 0.0)
    scale = jnp.maximum(high - low, jnp.finfo(x.dtype).tiny) / _LEVELS
    zero = jnp.round(-low / scale)
    values = jnp.clip(jnp.round(x / scale) + zero, 0.0, _LEVELS).astype(jnp.uint8)
    product = dot_uint8_int8(values, params["kernel"]) - zero.astype(jnp.int32) * _row(params["kernel_sum"], x)
    return product.astype(jnp.float32) * (scale * _row(params["kernel_scale"], x))


def _dot_scaled(x: Array, params: Mapping[str, Array]) -> Array:
    # Accelerators multiply bfloat16 as fast as it can be read, and it holds the 8 bits of the kernel exactly.
    return _dot(x, params["kernel"].astype(jnp.bfloat16)) * _row(params["kernel_scale"], x)


def _row(vector: Array, x: Array) -> Array:
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)
