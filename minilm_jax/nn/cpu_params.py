"""How weights lie for a CPU: fewer products than there are layers, in the type that it multiplies fastest."""

from collections.abc import Collection
from typing import Any

import jax.numpy as jnp

from minilm_jax.nn import processor
from minilm_jax.nn.blocked_kernels import BlockedKernel, computes, pack
from minilm_jax.nn.dense import HALF_TYPES
from minilm_jax.nn.params import Params, flatten, unflatten

# What says in which type is multiplied: kernels, and the biases before attention.
_MULTIPLIED = (".kernel", ".bias")


def arranged(params: Params) -> Params:
    """Lays query, key and value side by side, and widens what float32 is multiplied faster in.

    Args:
        params: The parameter tree, in any precision.

    Returns:
        Another tree that `embed` takes.
    """
    # A CPU multiplies float16 slower than anything.
    slower = [jnp.float16] if processor.multiplies_bfloat16_faster() else HALF_TYPES
    leaves = _widened(flatten(params), slower)
    for path in [path for path in leaves if path.endswith(".self.query.kernel")]:
        leaves = _side_by_side(leaves, path.removesuffix("query.kernel"))
    return unflatten(leaves)


def packed(params: Params) -> Params | None:
    """Packs the kernels of the layers, see `minilm_jax.nn.blocked_kernels`.

    Args:
        params: The parameter tree.

    Returns:
        Another tree that `embed` takes where it `suits`, or None where no kernel can be packed.
    """
    leaves = flatten(params)
    kernels = [path for path in leaves if path.startswith("encoder.") and path.endswith(".kernel")]
    found = {path: kernel for path in kernels if isinstance(kernel := pack(leaves[path]), BlockedKernel)}
    return unflatten(leaves | found) if found else None


def suits(params: Params, rows: int) -> bool:
    """Tries whether the packed kernels of a tree are right for so many tokens a call."""
    kernels = [leaf for leaf in flatten(params).values() if isinstance(leaf, BlockedKernel)]
    return computes(rows, frozenset((kernel.shape, kernel.dtype) for kernel in kernels))


def _widened(leaves: dict[str, Any], slower: Collection[Any]) -> dict[str, Any]:
    rounded = [path for path, leaf in leaves.items() if path.endswith(_MULTIPLIED) and leaf.dtype in slower]
    return leaves | {path: leaves[path].astype(jnp.float32) for path in rounded}


def _side_by_side(leaves: dict[str, Any], module: str) -> dict[str, Any]:
    names = [path.removeprefix(f"{module}query.") for path in leaves if path.startswith(f"{module}query.")]
    parts = {name: [leaves.pop(f"{module}{layer}.{name}") for layer in ("query", "key", "value")] for name in names}
    return leaves | {f"{module}query_key_value.{name}": jnp.concatenate(each, -1) for name, each in parts.items()}
