"""Meshes with explicit axes, on which the compiler partitions the encoder as it does on other meshes."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, auto_axes, get_abstract_mesh

_Function = TypeVar("_Function", bound=Callable[..., Any])


def partitioned(function: _Function) -> _Function:
    """Let the compiler partition a function of (params, batch, …) on meshes with explicit axes.

    The results are sharded along their rows as the token ids are. Axes of the mesh that `jax.shard_map` handles are
    left to it.

    Args:
        function: A function whose results have one row per row of the batch.

    Returns:
        A function of the same arguments.
    """

    @functools.wraps(function)
    def call(params: Any, batch: Any, *others: Any) -> Any:
        shardings: list[Any] = [jax.typeof(leaf).sharding for leaf in jax.tree.leaves((batch, params))]
        sharding = next((each for each in shardings if _explicit(each.mesh)), None)
        if sharding is None:
            return function(params, batch, *others)
        rows = PartitionSpec(*shardings[0].spec[:1])
        out: Any = rows if _explicit(get_abstract_mesh()) else NamedSharding(sharding.mesh, rows)
        compute: Any = auto_axes(function, axes=_explicit(sharding.mesh), out_sharding=out)
        if AxisType.Manual in get_abstract_mesh().axis_types:
            compute = jax.jit(compute)  # Outside of jit, JAX cannot change the axes within a `jax.shard_map`.
        return compute(params, batch, *others)

    return call  # pyright: ignore[reportReturnType] the wrapper accepts the function's arguments


def _explicit(mesh: Any) -> tuple[str, ...]:
    """Return the explicit axes of a mesh."""
    return tuple(name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Explicit)
