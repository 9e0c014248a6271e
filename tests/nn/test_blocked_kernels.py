"""Blocked kernels: exact products on tested processors and jaxlib versions, unchanged kernels elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax.nn import blocked_kernels as packed_dot, processor
from minilm_jax.nn.blocked_kernels import BlockedKernel, computes, dot_blocked, pack

KINDS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "int8": jnp.int8}
SIZES = [(64, 64), (128, 192), (384, 384), (384, 1152), (1536, 384)]

# Blocking is only for processors with AVX-512. Elsewhere the marked tests have nothing to check.
needs_avx512 = pytest.mark.skipif(not all(map(processor.runs, packed_dot._INSTRUCTIONS)), reason="requires AVX-512")

# With AMX, oneDNN's order of bfloat16 blocks depends on the number of threads per device, which is small for eight
# simulated devices. `computes` then returns False and kernels stay as they are, so exact products cannot be required.
amx_varies = pytest.mark.skipif(processor.runs("amx_bf16"), reason="with AMX the order of bfloat16 blocks varies")


@pytest.fixture(autouse=True)
def _clear_cache() -> None:
    computes.cache_clear()


@needs_avx512
@pytest.mark.parametrize("kind", ["float32", pytest.param("bfloat16", marks=amx_varies), "int8"])
@pytest.mark.parametrize("rows", [64, 1_000])
def test_blocked_products_are_exact(kind: str, rows: int) -> None:
    assert computes(rows, frozenset((size, np.dtype(KINDS[kind])) for size in SIZES))


@needs_avx512
def test_dot_blocked_handles_leading_dimensions_and_extreme_integers() -> None:
    packed = pack(jnp.full((1536, 64), -128, jnp.int8))
    assert isinstance(packed, BlockedKernel)
    product = dot_blocked(jnp.full((4, 16, 1536), 255, jnp.uint8), packed)
    np.testing.assert_array_equal(product, np.full((4, 16, 64), -128 * 255 * 1536))


@pytest.mark.parametrize("size", [(60, 64), (64, 65)])
def test_kernel_of_unsupported_size_is_not_blocked(size: tuple[int, int]) -> None:
    kernel = jnp.ones(size, jnp.int8)
    assert pack(kernel) is kernel


@pytest.mark.parametrize(
    ("name", "value"),
    [("jaxlib_version", "0.6.2"), ("jaxlib_version", "99.0.0"), ("_INSTRUCTIONS", ("no such instruction",))],
)
def test_kernel_is_not_blocked_on_untested_jaxlib_or_processor(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_dot, name, value)
    kernel = jnp.ones((64, 64))
    assert pack(kernel) is kernel


def test_computes_detects_a_wrong_block_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_dot, "_packed", lambda kernel: kernel)
    assert not computes(64, frozenset([((128, 128), np.dtype(np.float32))]))


def test_computes_detects_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_dot, "_TARGET", "no_such_function")
    assert not computes(63, frozenset([((128, 128), np.dtype(np.float32))]))  # A size that JAX has not traced yet.


def test_sharded_kernel_is_not_blocked() -> None:
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    kernel = jax.device_put(jnp.ones((64, 64)), spread)
    assert pack(kernel) is kernel
