"""Products with kernels stored in oneDNN's blocked order, which the CPU reads without reordering them per call.

XLA's own product reorders its kernel on every call, which dominates the time for one sentence. oneDNN accepts a kernel
that is already in its order; jaxlib includes oneDNN for x86 processors, and `jax.ffi` calls it by name. With untested
versions of jaxlib or processors, kernels stay as they are.
"""

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxlib.version import __version__ as jaxlib_version
from numpy.typing import NDArray

from minilm_jax.nn import processor

# Only this range of jaxlib versions is tested. In other versions, the call target may be missing or take other
# arguments, which would not raise an error.
_JAXLIBS = (0, 7), (0, 13)
_INSTRUCTIONS = ("avx512f", "avx512bw", "avx512dq", "avx512vl")

# A block has this many features, and one instruction multiplies this many bytes of consecutive rows. oneDNN chooses the
# sizes by the product and the number of threads; it chooses these unless there are few rows and many cores.
_BLOCK = 64
_DEPTH = 4

_TARGET = "__onednn$matmul"
_OPTIONS = json.dumps({"onednn_matmul_config": {"optimization_config": {"weights_prepacked": True}}})


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class BlockedKernel:
    """A kernel in oneDNN's order, for `dot_blocked` on CPU; it has no gradient and cannot be sharded.

    Attributes:
        values: float32, bfloat16 or int8[D, F], with the elements in oneDNN's order.
    """

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel, (D, F)."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the values."""
        return self.values.dtype


def block_kernel(kernel: Array) -> Array | BlockedKernel:
    """Convert a kernel to oneDNN's order.

    Args:
        kernel: float32, bfloat16 or int8[D, F].

    Returns:
        The blocked kernel, or the kernel itself if its sizes are not multiples of a block, it is on several devices, or
        the processor or jaxlib is untested.
    """
    # oneDNN does not pad blocks, on any processor, if both sizes are multiples of a block.
    if any(size % _BLOCK for size in kernel.shape) or len(kernel.devices()) > 1 or not _is_tested():
        return kernel
    return BlockedKernel(jax.device_put(_in_blocks(np.asarray(kernel)), kernel.sharding))


def dot_blocked(x: Array, kernel: BlockedKernel) -> Array:
    """Multiply with a blocked kernel.

    Args:
        x: [..., D], in the kernel's dtype, or uint8 if that is int8.
        kernel: A blocked kernel of [D, F].

    Returns:
        float32[..., F]; for integers int32, which is exact.
    """
    rows, features = math.prod(x.shape[:-1]), kernel.shape[1]
    sums = jnp.int32 if kernel.dtype == jnp.int8 else jnp.float32
    result = jax.ShapeDtypeStruct((rows, features), sums)
    call = jax.ffi.ffi_call(_TARGET, result, custom_call_api_version=2, legacy_backend_config=_OPTIONS)
    return call(x.reshape(rows, x.shape[-1]), kernel.values).reshape(*x.shape[:-1], features)


def _in_blocks(kernel: NDArray[np.generic]) -> NDArray[np.generic]:
    """Reorder [D, F] to blocks of features, in which consecutive rows of one feature are adjacent."""
    depth = _DEPTH // kernel.itemsize
    blocks = kernel.reshape(kernel.shape[0] // depth, depth, kernel.shape[1] // _BLOCK, _BLOCK).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(blocks).reshape(kernel.shape)


def unblock_kernel(kernel: BlockedKernel) -> NDArray[np.generic]:
    """Return the kernel in the usual order, [D, F]."""
    values = np.asarray(kernel.values)
    inputs, features = values.shape
    depth = _DEPTH // values.itemsize
    blocks = values.reshape(features // _BLOCK, inputs // depth, _BLOCK, depth).transpose(1, 3, 0, 2)
    return blocks.reshape(values.shape)


def without_disk_cache() -> AbstractContextManager[object]:
    """Compile in this thread without writing to jax's compilation cache, which cannot store blocked kernels.

    Otherwise JAX would warn for each program, and a filter for the warning would affect the whole process.
    """
    try:
        # The public settings also belong to the whole process.
        from jax._src.config import persistent_cache_min_compile_time_secs as minimum
    except ImportError:
        return contextlib.nullcontext()
    return minimum(math.inf)


def _is_tested() -> bool:
    version = tuple(map(int, jaxlib_version.split(".")[:2]))
    return _JAXLIBS[0] <= version < _JAXLIBS[1] and all(map(processor.supports, _INSTRUCTIONS))


@functools.cache
def products_are_exact(rows: int, kernels: frozenset[tuple[tuple[int, ...], np.dtype]]) -> bool:
    """Check whether products of this many rows with blocked kernels equal those of numpy.

    Args:
        rows: Rows of the left operand: all dimensions but the last, multiplied.
        kernels: Shape and dtype of every blocked kernel.

    Returns:
        Whether all are right; the products are of integers, so they are either exact or wrong.
    """
    random = np.random.default_rng(0)
    expected, operands = [], []
    for (depth, features), dtype in kernels:
        is_integer = dtype == jnp.int8
        # Random integers cover their whole range, so that an overflow of intermediate sums is detected.
        low, high = (-128, 256) if is_integer else (-9, 9)
        x, kernel = random.integers(0, high, (rows, depth)), random.integers(low, -low, (depth, features))
        expected.append(x.astype(np.float64) @ kernel.astype(np.float64))
        blocked = BlockedKernel(jnp.asarray(_in_blocks(kernel.astype(dtype))))
        operands.append((jnp.asarray(x, jnp.uint8 if is_integer else dtype), blocked))
    # The error type without oneDNN depends on the jaxlib version.
    with contextlib.suppress(Exception), without_disk_cache():
        return all(map(np.array_equal, jax.jit(blocked_products)(operands), expected))
    return False


def blocked_products(operands: Sequence[tuple[Array, BlockedKernel]]) -> list[Array]:
    """Multiply several pairs with `dot_blocked`."""
    return [dot_blocked(x, kernel) for x, kernel in operands]
