"""The dense layer for float32, 16-bit and int8 kernels; the dtype of the kernel determines the computation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.errors import InputError
from minilm_jax.nn.blocked_kernels import BlockedKernel, dot_blocked

# Weights may be stored and multiplied in these dtypes; sums, softmax and LayerNorm stay float32.
HALF_TYPES = (jnp.bfloat16, jnp.float16)

# uint8 activations span [0, 255].
_LEVELS = 255


class Quantized(NamedTuple):
    """Activations in 8 bits, x ≈ scale · (values - zero), with one scale per token.

    Attributes:
        x: float32[..., D], the unrounded activations, which accelerators multiply.
        values: uint8[..., D].
        scale: float32[..., 1].
        zero: float32[..., 1].
    """

    x: Array
    values: Array
    scale: Array
    zero: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of x."""
        return self.x.shape


def quantize(x: Array, *, lowest: float | None = None) -> Quantized:
    """Quantize activations to 8 bits asymmetrically, because GELU returns no values below -0.17.

    Args:
        x: float32[..., D].
        lowest: A known lower bound of the elements, which saves the search for their minimum.

    Returns:
        The quantized activations, for `dense` with int8 kernels.
    """
    x = _without_gradient(x)
    low = jnp.minimum(x.min(axis=-1, keepdims=True), 0.0) if lowest is None else jnp.float32(lowest)
    high = jnp.maximum(x.max(axis=-1, keepdims=True), 0.0)
    scale = jnp.maximum((high - low) / _LEVELS, jnp.finfo(x.dtype).tiny)
    zero = jnp.round(-low / scale)
    values = jnp.clip(jnp.round(x / scale) + zero, 0.0, _LEVELS).astype(jnp.uint8)
    return Quantized(x, values, scale, zero)


@jax.custom_jvp
def _without_gradient(x: Array) -> Array:
    return x


@_without_gradient.defjvp
def _refuse(*_: Any) -> Any:
    # Rounding has a zero gradient, which would pass for a result.
    raise InputError(
        "int8 params have no gradients; take them with respect to the float32 params that load_params returns, and"
        " convert the trained ones with mj.cast(params, 'int8')."
    )


def shared_input(params: Mapping[str, Any], x: Array) -> Array | Quantized:
    """Smooth and quantize the input of one or several int8 layers.

    Args:
        params: Params of the module that contains the layers. In int8 they include `input_scale`, float32[D], which
            equalizes the ranges of the channels (SmoothQuant, Xiao et al., 2022); the kernels are divided by it.
        x: float32[..., D].

    Returns:
        The quantized input, or x itself if params are not int8.
    """
    return quantize(x * _row(params["input_scale"], x)) if "input_scale" in params else x


def dense(params: Mapping[str, Any], x: Array | Quantized) -> Array:
    """Compute x · kernel + bias in the dtype of the kernel; the result has the dtype of the bias.

    Args:
        params: `kernel` [D, F], `bias` float32 or 16-bit[F]; in int8 `kernel_scale` float32[F] and `kernel_sum`
            int32[F].
        x: float32[..., D]; for int8 kernels it may be quantized already.

    Returns:
        [..., F] in the dtype of the bias.
    """
    product, bias = _product(params, x), params["bias"]
    return (product + _row(bias, product).astype(product.dtype)).astype(bias.dtype)


def _product(params: Mapping[str, Any], x: Array | Quantized) -> Array:
    kernel = params["kernel"]
    if kernel.dtype != jnp.int8:
        assert not isinstance(x, Quantized)
        return dot(x, kernel)
    x = x if isinstance(x, Quantized) else quantize(x)
    if isinstance(kernel, BlockedKernel):
        return _dot_quantized(x, params)
    return lax.platform_dependent(x, params, cpu=_dot_quantized, default=_dot_scaled)


def dot(x: Array, kernel: Array | BlockedKernel) -> Array:
    """Multiply in the kernel's dtype and sum in float32, or in x's dtype if that is wider.

    Args:
        x: float32[..., D].
        kernel: float32, bfloat16 or float16[D, F].

    Returns:
        float32[..., F].
    """
    if isinstance(kernel, BlockedKernel):
        return dot_blocked(x.astype(kernel.dtype), kernel)
    # Without HIGHEST, a float32 product uses TF32 on GPUs and bfloat16 on TPUs.
    precision = lax.Precision.HIGHEST if kernel.dtype == jnp.float32 else None
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))
    sums = x.dtype if x.dtype == jnp.float64 else jnp.float32
    return lax.dot_general(x.astype(kernel.dtype), kernel, dimensions, precision=precision, preferred_element_type=sums)


def dot_integers(x: Array, kernel: Array | BlockedKernel) -> Array:
    """Multiply uint8[..., D] by int8[D, F]; the result, int32[..., F], is exact."""
    if isinstance(kernel, BlockedKernel):
        return dot_blocked(x, kernel)
    # This module is imported here, because it imports jax.extend, which includes Pallas and which only int8 needs.
    from minilm_jax.nn.integer_dot import dot_uint8_int8

    return dot_uint8_int8(x, kernel)


def _dot_quantized(x: Quantized, params: Mapping[str, Any]) -> Array:
    product = dot_integers(x.values, params["kernel"])
    product -= x.zero.astype(jnp.int32) * _row(params["kernel_sum"], x.x)
    return product.astype(jnp.float32) * (x.scale * _row(params["kernel_scale"], x.x))


def _dot_scaled(x: Quantized, params: Mapping[str, Array]) -> Array:
    # On accelerators, bfloat16 products are limited by memory only, and bfloat16 represents int8 weights exactly.
    return dot(x.x, params["kernel"].astype(jnp.bfloat16)) * _row(params["kernel_scale"], x.x)


def _row(vector: Array, x: Array) -> Array:
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)
