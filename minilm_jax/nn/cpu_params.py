"""Params in the form that a CPU multiplies fastest: fewer products, suitable dtypes, blocked kernels."""

from collections.abc import Collection
from typing import Any

import jax.numpy as jnp

from minilm_jax.nn import processor
from minilm_jax.nn.blocked_kernels import BlockedKernel, block_kernel, products_are_exact
from minilm_jax.nn.dense import HALF_TYPES
from minilm_jax.nn.params import Params, flatten, unflatten

# The dtype of these leaves (kernels, and the biases before attention) determines the dtype of the products.
_MULTIPLIED = (".kernel", ".bias")


def prepare_for_cpu(params: Params) -> Params:
    """Concatenate query, key and value, and convert 16-bit weights to float32 where that is faster.

    Args:
        params: The parameter tree, in any precision.

    Returns:
        Another tree that `embed` accepts.
    """
    # float16 products are slow on every CPU, bfloat16 products only on some.
    slower = [jnp.float16] if processor.multiplies_bfloat16_faster() else HALF_TYPES
    leaves = _widened(flatten(params), slower)
    for path in [path for path in leaves if path.endswith(".self.query.kernel")]:
        leaves = _concatenated(leaves, path.removesuffix("query.kernel"))
    return unflatten(leaves)


def with_blocked_kernels(params: Params) -> Params | None:
    """Convert the kernels of the layers to oneDNN's order, see `minilm_jax.nn.blocked_kernels`.

    Args:
        params: The parameter tree.

    Returns:
        Another tree, which `embed` accepts if `blocked_kernels_work`, or None if no kernel can be blocked.
    """
    leaves = flatten(params)
    kernels = [path for path in leaves if path.startswith("encoder.") and path.endswith(".kernel")]
    found = {path: kernel for path in kernels if isinstance(kernel := block_kernel(leaves[path]), BlockedKernel)}
    return unflatten(leaves | found) if found else None


def blocked_kernels_work(params: Params, tokens: int) -> bool:
    """Return whether the blocked kernels of a tree give exact products for this number of tokens per call."""
    kernels = [leaf for leaf in flatten(params).values() if isinstance(leaf, BlockedKernel)]
    return products_are_exact(tokens, frozenset((kernel.shape, kernel.dtype) for kernel in kernels))


def _widened(leaves: dict[str, Any], slower: Collection[Any]) -> dict[str, Any]:
    rounded = [path for path, leaf in leaves.items() if path.endswith(_MULTIPLIED) and leaf.dtype in slower]
    return leaves | {path: leaves[path].astype(jnp.float32) for path in rounded}


def _concatenated(leaves: dict[str, Any], module: str) -> dict[str, Any]:
    names = [path.removeprefix(f"{module}query.") for path in leaves if path.startswith(f"{module}query.")]
    parts = {name: [leaves.pop(f"{module}{layer}.{name}") for layer in ("query", "key", "value")] for name in names}
    return leaves | {f"{module}query_key_value.{name}": jnp.concatenate(each, -1) for name, each in parts.items()}
