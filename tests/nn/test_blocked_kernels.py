"""Blocked kernels: exact products on tested processors and jaxlib versions, unchanged kernels elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax.nn import blocked_kernels, processor
from minilm_jax.nn.blocked_kernels import BlockedKernel, block_kernel, dot_blocked, products_are_exact

KINDS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "int8": jnp.int8}
SIZES = [(64, 64), (128, 192), (384, 384), (384, 1152), (384, 1536), (1536, 384)]

# Blocking is only for processors with AVX-512. Elsewhere the marked tests have nothing to check.
needs_avx512 = pytest.mark.skipif(
    not all(map(processor.supports, blocked_kernels._INSTRUCTIONS)), reason="requires AVX-512"
)


@pytest.fixture(autouse=True)
def _clear_cache() -> None:
    products_are_exact.cache_clear()


def product_is_exact(kind: str, rows: int, size: tuple[int, int]) -> bool:
    random, is_integer = np.random.default_rng(0), kind == "int8"
    x, kernel = random.integers(0, 9, (rows, size[0])), random.integers(-9, 9, size)
    blocked = block_kernel(jnp.asarray(kernel, KINDS[kind]))
    assert isinstance(blocked, BlockedKernel)
    product = jax.jit(dot_blocked)(jnp.asarray(x, jnp.uint8 if is_integer else KINDS[kind]), blocked)
    return np.array_equal(np.asarray(product), x @ kernel)


@needs_avx512
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [64, 1_000])
def test_blocked_products_are_exact(kind: str, rows: int) -> None:
    exact = {size for size in SIZES if product_is_exact(kind, rows, size)}
    assert {size for size in SIZES if products_are_exact(rows, frozenset([(size, np.dtype(KINDS[kind]))]))} == exact
    # With AMX, the order of bfloat16 blocks also depends on the number of threads, so some products are wrong.
    # `products_are_exact` detects these, and they are not used.
    assert exact == set(SIZES) or (kind == "bfloat16" and processor.supports("amx_bf16"))


@needs_avx512
def test_dot_blocked_handles_leading_dimensions_and_extreme_integers() -> None:
    blocked = block_kernel(jnp.full((1536, 64), -128, jnp.int8))
    assert isinstance(blocked, BlockedKernel)
    product = dot_blocked(jnp.full((4, 16, 1536), 255, jnp.uint8), blocked)
    np.testing.assert_array_equal(product, np.full((4, 16, 64), -128 * 255 * 1536))


@pytest.mark.parametrize("size", [(60, 64), (64, 65)])
def test_kernel_of_unsupported_size_is_not_blocked(size: tuple[int, int]) -> None:
    kernel = jnp.ones(size, jnp.int8)
    assert block_kernel(kernel) is kernel


@pytest.mark.parametrize(
    ("name", "value"),
    [("jaxlib_version", "0.6.2"), ("jaxlib_version", "99.0.0"), ("_INSTRUCTIONS", ("no such instruction",))],
)
def test_kernel_is_not_blocked_on_untested_jaxlib_or_processor(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked_kernels, name, value)
    kernel = jnp.ones((64, 64))
    assert block_kernel(kernel) is kernel


def test_check_detects_a_wrong_block_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_kernels, "_in_blocks", lambda kernel: kernel)
    assert not products_are_exact(64, frozenset([((128, 128), np.dtype(np.float32))]))


def test_check_detects_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_kernels, "_TARGET", "no_such_function")
    # No other test has 63 rows, so JAX traces this product again.
    assert not products_are_exact(63, frozenset([((128, 128), np.dtype(np.float32))]))


def test_sharded_kernel_is_not_blocked() -> None:
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    kernel = jax.device_put(jnp.ones((64, 64)), spread)
    assert block_kernel(kernel) is kernel
