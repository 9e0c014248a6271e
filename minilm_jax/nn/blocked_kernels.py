"""Products with a kernel that lies in memory in the order in which the CPU reads it, packed once, not at every call.

XLA's own product packs its kernel every time, which is most of what one sentence takes. oneDNN takes a packed one;
jaxlib carries it for x86 processors, and `jax.ffi` calls it by its name. Where that has not been tried, kernels stay as
they are.
"""

import contextlib
import dataclasses
import functools
import json
import math
import warnings
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxlib.version import __version__ as jaxlib_version
from numpy.typing import NDArray

from minilm_jax.nn import processor

_JAXLIBS = (0, 7), (0, 13)
_INSTRUCTIONS = ("avx512f", "avx512bw", "avx512dq", "avx512vl")

# Features side by side in a block, and the bytes of consecutive rows that one instruction multiplies. oneDNN chooses
# blocks by the sizes of a product and the number of threads; these it takes for all but few rows on many cores.
_BLOCK = 64
_DEPTH = 4

_TARGET = "__onednn$matmul"
_OPTIONS = json.dumps({"onednn_matmul_config": {"optimization_config": {"weights_prepacked": True}}})


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class BlockedKernel:
    """A kernel in oneDNN's order, from which `dot_blocked` computes on CPU; it has no gradient and is not sharded.

    Attributes:
        values: float32, bfloat16 or int8[D, F], of which only the shape is that of the kernel.
    """

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, F)."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the values."""
        return self.values.dtype


def pack(kernel: Array) -> Array | BlockedKernel:
    """Packs a kernel.

    Args:
        kernel: float32, bfloat16 or int8[D, F].

    Returns:
        The packed kernel, or the kernel as it is if blocks do not fit it, or this processor or jaxlib is not known.
    """
    # Where blocks fit in both directions, no kind of processor pads them.
    if any(size % _BLOCK for size in kernel.shape) or len(kernel.devices()) > 1 or not _known():
        return kernel
    return BlockedKernel(jax.device_put(_packed(np.asarray(kernel)), kernel.sharding))


def dot_blocked(x: Array, kernel: BlockedKernel) -> Array:
    """Multiplies with a packed kernel.

    Args:
        x: [..., D], of the kernel's type, or uint8 where that is int8.
        kernel: A packed kernel of [D, F].

    Returns:
        float32[..., F], or int32, exact, of integers.
    """
    rows, features = math.prod(x.shape[:-1]), kernel.shape[1]
    sums = jnp.int32 if kernel.dtype == jnp.int8 else jnp.float32
    result = jax.ShapeDtypeStruct((rows, features), sums)
    call = jax.ffi.ffi_call(_TARGET, result, custom_call_api_version=2, legacy_backend_config=_OPTIONS)
    return call(x.reshape(rows, -1), kernel.values).reshape(*x.shape[:-1], features)


def _packed(kernel: NDArray[np.generic]) -> NDArray[np.generic]:
    """Reorders [D, F] to blocks of features, in which consecutive rows of a feature lie side by side."""
    depth = _DEPTH // kernel.itemsize
    blocks = kernel.reshape(kernel.shape[0] // depth, depth, kernel.shape[1] // _BLOCK, _BLOCK).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(blocks).reshape(kernel.shape)


@contextlib.contextmanager
def unkept() -> Iterator[None]:
    """Silences jax where it tries to keep a compiled `packed…` in its cache on disk, which this one cannot be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Error writing persistent compilation cache entry for 'jit_packed")
        yield


def _known() -> bool:
    version = tuple(map(int, jaxlib_version.split(".")[:2]))
    return _JAXLIBS[0] <= version < _JAXLIBS[1] and all(map(processor.runs, _INSTRUCTIONS))


@functools.cache
def computes(rows: int, kernels: frozenset[tuple[tuple[int, ...], np.dtype]]) -> bool:
    """Tries whether products with so many rows are right.

    Args:
        rows: Of the other operand, all but its last dimension together.
        kernels: Shape and type of every packed kernel.

    Returns:
        Whether all of them are; the products are of integers, so that they are exact or wrong.
    """
    random = np.random.default_rng(0)
    wanted, operands = [], []
    for (depth, features), dtype in kernels:
        whole = dtype == jnp.int8
        # Of a type's whole range where sums are exact, so that one that overflows on the way is seen.
        least, most = (-128, 256) if whole else (-9, 9)
        x, kernel = random.integers(0, most, (rows, depth)), random.integers(least, -least, (depth, features))
        wanted.append(x.astype(np.float64) @ kernel.astype(np.float64))
        packed = BlockedKernel(jnp.asarray(_packed(kernel.astype(dtype))))
        operands.append((jnp.asarray(x, jnp.uint8 if whole else dtype), packed))
    with contextlib.suppress(Exception), unkept():  # A jaxlib without oneDNN says so in a way of its own.
        return all(map(np.array_equal, jax.jit(blocked_products)(operands), wanted))
    return False


def blocked_products(operands: Sequence[tuple[Array, BlockedKernel]]) -> list[Array]:
    """Multiplies several pairs, as `dot_blocked` does."""
    return [dot_blocked(x, kernel) for x, kernel in operands]
