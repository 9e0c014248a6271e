"""Products of uint8 and int8 matrices with int32 sums, using the CPU instruction for these types.

`lax.dot_general` converts operands of two dtypes to one, but XLA's fast CPU kernel needs both dtypes unchanged. This
module lowers to the same StableHLO operation without the conversion, through jax's public extension points. A test
product checks once that the compiler accepts it and is exact; otherwise the same sums are computed in another way.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend import core as extend_core
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import batching, mlir

from minilm_jax.nn.settings import enable_jit


def dot_uint8_int8(x: Array, kernel: Array) -> Array:
    """Multiply uint8 by int8, exactly.

    Args:
        x: uint8[..., D].
        kernel: int8[D, F].

    Returns:
        int32[..., F].
    """
    return _primitive.bind(x, kernel) if _compiler_supports_it() else _portable(x, kernel)


def _portable(x: Array, kernel: Array) -> Array:
    # Every compiler supports int8 · int8: x - 128 fits int8, and adding 128 times the kernel's sum corrects the result.
    shifted = (x.astype(jnp.int32) - 128).astype(jnp.int8)
    product = lax.dot_general(shifted, kernel, _dimensions(x), preferred_element_type=jnp.int32)
    return product + 128 * kernel.astype(jnp.int32).sum(axis=0, dtype=jnp.int32).reshape((1,) * (x.ndim - 1) + (-1,))


def _dimensions(x: Array) -> Any:
    return (((x.ndim - 1,), (0,)), ((), ()))


@functools.cache
def _compiler_supports_it() -> bool:
    random = np.random.default_rng(0)
    x = np.vstack([random.integers(0, 256, (31, 64)), np.full((2, 64), 255)]).astype(np.uint8)
    kernel = np.hstack([random.integers(-128, 128, (64, 47)), np.full((64, 2), -128)]).astype(np.int8)
    try:
        with jax.ensure_compile_time_eval(), jax.default_device(jax.devices("cpu")[0]):
            product = np.asarray(jax.jit(_primitive.bind)(x, kernel))
    except Exception:  # The error for unsupported mixed types depends on the compiler.
        return False
    return np.array_equal(product, x.astype(np.int32) @ kernel.astype(np.int32))


_primitive = extend_core.Primitive("dot_uint8_int8")


@_primitive.def_impl
@enable_jit  # Otherwise this function would call itself.
def _run(x: Array, kernel: Array) -> Array:
    return jax.jit(_primitive.bind)(x, kernel)


@_primitive.def_abstract_eval
def _abstract(x: Any, kernel: Any) -> Any:
    return ShapedArray((*x.shape[:-1], kernel.shape[1]), jnp.dtype(jnp.int32))


def _lower(context: Any, x: Any, kernel: Any) -> Any:
    (result,) = context.avals_out
    rank = len(context.avals_in[0].shape)
    numbers = stablehlo.DotDimensionNumbers.get([], [], [rank - 1], [0])
    # Symbolic sizes, in exported programs, are not ints.
    shape = [size if isinstance(size, int) else ir.ShapedType.get_dynamic_size() for size in result.shape]
    kind = ir.RankedTensorType.get(shape, ir.IntegerType.get_signless(32))
    return stablehlo.DotGeneralOp(kind, x, kernel, numbers).results


def _batch(arguments: Any, axes: Any) -> Any:
    (x, kernel), (axis, kernel_axis) = arguments, axes
    # The operation takes one kernel; for several kernels, jax batches the portable form.
    if kernel_axis is not None:
        return jax.vmap(_portable, in_axes=axes)(x, kernel), 0
    return _primitive.bind(jnp.moveaxis(x, axis, 0), kernel), 0


mlir.register_lowering(_primitive, _lower, platform="cpu")
# This lowering never runs, but a program exported for several platforms contains every branch for each of them.
mlir.register_lowering(_primitive, mlir.lower_fun(_portable, multiple_results=False))
batching.primitive_batchers[_primitive] = _batch
