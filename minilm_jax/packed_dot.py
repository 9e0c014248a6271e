"""Products with a kernel that lies in memory in the order in which the CPU reads it, packed once and not at every call.

XLA's own product packs its kernel every time, which is most of what one sentence takes. oneDNN takes a packed one; jaxlib
carries it for x86 processors, and `jax.ffi` calls it by its name. Where it has not been tried, kernels stay as they are.
"""

import dataclasses
import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxlib.version import __version__ as jaxlib_version
from numpy.typing import NDArray

from minilm_jax import processor

# What has been tried: an unknown name or form would end the process, or give numbers in another order.
_JAXLIBS = (0, 10), (0, 13)
_INSTRUCTIONS = ("avx512f", "avx512bw", "avx512dq", "avx512vl")

# Features side by side in a block, and the bytes of consecutive rows that one instruction multiplies.
_BLOCK = 64
_DEPTH = 4

_TARGET = "__onednn$matmul"
_OPTIONS = json.dumps({"onednn_matmul_config": {"optimization_config": {"weights_prepacked": True}}})


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class PackedKernel:
    """A kernel in oneDNN's order, from which `dot_packed` computes on CPU; it has no gradient and is not sharded.

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


def pack(kernel: Array) -> Array | PackedKernel:
    """Packs a kernel, if that is known to work here.

    Args:
        kernel: float32, bfloat16 or int8[D, F].

    Returns:
        The packed kernel, or the kernel as it is.
    """
    fits = kernel.shape[0] * kernel.dtype.itemsize % _DEPTH == kernel.shape[1] % _BLOCK == 0
    return PackedKernel(jnp.asarray(_packed(np.asarray(kernel)))) if fits and _computes(kernel.dtype) else kernel


def dot_packed(x: Array, kernel: PackedKernel) -> Array:
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


@functools.cache
def _computes(dtype: np.dtype) -> bool:
    """Whether this processor and jaxlib are known, and a product of small integers is the right one."""
    version = tuple(map(int, jaxlib_version.split(".")[:2]))
    known = _JAXLIBS[0] <= version < _JAXLIBS[1] and all(map(processor.runs, _INSTRUCTIONS))
    if jax.default_backend() != "cpu" or not known:
        return False
    random = np.random.default_rng(0)
    x, kernel = random.integers(0, 9, (3, 128)), random.integers(-9, 9, (128, 2 * _BLOCK))
    operands = jnp.asarray(x, jnp.uint8 if dtype == jnp.int8 else dtype), _packed(kernel.astype(dtype))
    try:
        product = jax.jit(dot_packed)(operands[0], PackedKernel(jnp.asarray(operands[1])))
        return np.array_equal(np.asarray(product), x @ kernel)
    except Exception:  # A jaxlib without oneDNN says so in a way of its own.
        return False
