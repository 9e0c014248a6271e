"""Params in the form that a CPU multiplies fastest: fewer products, suitable dtypes, blocked kernels."""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from minilm_jax.nn import processor
from minilm_jax.nn.blocked_kernels import BlockedKernel, block_kernel, products_are_exact, unblock_kernel
from minilm_jax.nn.dense import HALF_TYPES
from minilm_jax.nn.params import Params, flatten, unflatten

# The dtype of these leaves (kernels, and the biases before attention) determines the dtype of the products.
_MULTIPLIED = (".kernel", ".bias")

# These layers are concatenated to one.
_LAYERS = ("query", "key", "value")
_CONCATENATED = "query_key_value."


def prepare_for_cpu(params: Params) -> Params:
    """Concatenate query, key and value, and convert 16-bit weights to float32 where that is faster.

    Args:
        params: The parameter tree, in any precision.

    Returns:
        Another tree that `embed` accepts. New leaves are numpy arrays, because jax would compile each operation.
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
        Another tree, which `embed` accepts if `blocked_kernels_work`, or None if no kernel can be blocked, or some are
        already.
    """
    leaves = flatten(params)
    if any(isinstance(leaf, BlockedKernel) for leaf in leaves.values()):
        return None
    kernels = [path for path in leaves if path.startswith("encoder.") and path.endswith(".kernel")]
    found = {path: kernel for path in kernels if isinstance(kernel := block_kernel(leaves[path]), BlockedKernel)}
    return unflatten(leaves | found) if found else None


def without_blocked_kernels(params: Params) -> Params:
    """Convert blocked kernels to numpy arrays in the usual order."""
    leaves = flatten(params)
    return unflatten({path: unblock_kernel(x) if isinstance(x, BlockedKernel) else x for path, x in leaves.items()})


def original_params(params: Params, dtypes: Mapping[str, Any]) -> Params:
    """Undo `prepare_for_cpu` and `with_blocked_kernels`, exactly.

    Args:
        params: A tree from one of these functions.
        dtypes: The dtype of every leaf of the original tree.

    Returns:
        The original tree; leaves that were changed are numpy arrays.
    """
    leaves = flatten(without_blocked_kernels(params))
    for path in [path for path in leaves if _CONCATENATED in path]:
        module, name = path.split(_CONCATENATED)
        parts = np.split(np.asarray(leaves.pop(path)), len(_LAYERS), axis=-1)
        leaves |= {f"{module}{layer}.{name}": part for layer, part in zip(_LAYERS, parts, strict=True)}
    changed = {path: np.asarray(leaf) for path, leaf in leaves.items() if leaf.dtype != dtypes[path]}
    leaves |= {path: leaf.astype(dtypes[path]) for path, leaf in changed.items()}
    return unflatten({path: leaves[path] for path in dtypes})


def blocked_kernels_work(params: Params, tokens: int) -> bool:
    """Return whether a tree has blocked kernels that give exact products for this number of tokens per call."""
    kernels = {(leaf.shape, leaf.dtype) for leaf in flatten(params).values() if isinstance(leaf, BlockedKernel)}
    return bool(kernels) and products_are_exact(tokens, frozenset(kernels))


def _widened(leaves: dict[str, Any], slower: Collection[Any]) -> dict[str, Any]:
    rounded = [path for path, leaf in leaves.items() if path.endswith(_MULTIPLIED) and leaf.dtype in slower]
    return leaves | {path: np.asarray(leaves[path]).astype(np.float32) for path in rounded}


def _concatenated(leaves: dict[str, Any], module: str) -> dict[str, Any]:
    names = [path.removeprefix(f"{module}query.") for path in leaves if path.startswith(f"{module}query.")]
    parts = {name: [leaves.pop(f"{module}{layer}.{name}") for layer in _LAYERS] for name in names}
    return leaves | {f"{module}{_CONCATENATED}{name}": np.concatenate(each, -1) for name, each in parts.items()}
