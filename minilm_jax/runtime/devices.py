"""Devices for the computation: jax's default device, or several that share the rows of each batch."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from minilm_jax.errors import InputError
from minilm_jax.nn.settings import default_platform
from minilm_jax.tokens.batch_shapes import ShapeRules

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm] a class at run time
Devices = Literal["all"] | Sequence[jax.Device]

_Tree = TypeVar("_Tree")

# On CPU, 512 tokens keep a layer's activations in a core's cache. Attention is faster with four rows or more. A query
# takes at most 1.3 times the time of a row without padding, see `benchmarks/NOTES.md`.
_CPU_SHAPES = ShapeRules(
    query_lengths=(18, 28, 42, 64),
    short_length=64,
    row_lengths=(*range(28, 64, 2), *range(64, 256, 16), *range(256, 512, 32), *range(512, 8_193, 128)),
    call_tokens=(512,),
    call_cost=64,
    attention_length=1_000,
    compile_cost=4_000,
    fewest_rows=4,
    most_tokens=1_024,
)

# In int8, dense layers are three times as fast and attention is not, and compilation takes longer.
_CPU_INT8_COSTS = {"attention_length": 330, "compile_cost": 24_000}

# A batch of 131,072 tokens keeps an accelerator busy. Rows of 128 tokens are the width of its matrix units.
_ACCELERATOR_SHAPES = ShapeRules(
    query_lengths=(128,),
    short_length=128,
    row_lengths=(128, 256, 512, 1_024, 2_048, 4_096, 8_192),
    call_tokens=(131_072, 8_192),
    call_cost=8_192,
    attention_length=4_096,
    compile_cost=10_000_000,
)

# While one batch is computed, the next is copied to the accelerator and the previous one back.
_ACCELERATOR_WORKERS = 3

# `encode` should get this many texts per call, which is enough to sort them into full batches.
_CPU_CHUNK = 4_096
_ACCELERATOR_CHUNK = 65_536


@dataclasses.dataclass(frozen=True)
class DeviceGroup:
    """Devices that each hold all params and compute a share of the rows of every batch.

    Attributes:
        mesh: The devices on one axis, or None for jax's default device.
        platform: "cpu", "gpu" or "tpu".
        on_cpu: Whether the platform is "cpu".
        count: Number of devices.
        workers: Number of batches computed at the same time. On CPU it is one per core, as one batch alone leaves
            cores idle.
        shapes: The shapes of batches, with their costs in float32.
        chunk: Recommended texts per call of `encode`.
    """

    mesh: Mesh | None
    platform: str
    on_cpu: bool
    count: int
    workers: int
    shapes: ShapeRules
    chunk: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the devices by their ids."""
        ids = None if self.mesh is None else [device.id for device in self.mesh.devices.flat]
        return _devices_by_id, (self.platform, ids)

    def shapes_in(self, dtype: str) -> ShapeRules:
        """Return the shapes of batches, with their costs if matrices are multiplied in this dtype."""
        return dataclasses.replace(self.shapes, **_CPU_INT8_COSTS) if self.on_cpu and dtype == "int8" else self.shapes

    def replicate(self, params: _Tree) -> _Tree:
        """Copy params to every device."""
        return jax.device_put(params, self._sharding())

    def split(self, batch: _Tree) -> _Tree:
        """Put the rows of a batch on the devices, padded with rows of zeros if they do not divide evenly."""
        if self.mesh is None:
            return batch
        even = jax.tree.map(lambda x: np.pad(x, ((0, -len(x) % self.count), (0, 0))), batch)
        return jax.device_put(even, self._sharding(*self.mesh.axis_names))

    def _sharding(self, *axes: str) -> Any:
        return None if self.mesh is None else NamedSharding(self.mesh, PartitionSpec(*axes))


def describe_devices(mesh: Mesh | None = None) -> DeviceGroup:
    """Read the facts about jax's default device, or about the devices of a mesh with one axis."""
    platform, count = _platform(mesh), 1 if mesh is None else mesh.size
    on_cpu = platform == "cpu"
    return DeviceGroup(
        mesh=mesh,
        platform=platform,
        on_cpu=on_cpu,
        count=count,
        workers=max(1, usable_cores() // count) if on_cpu else _ACCELERATOR_WORKERS,
        shapes=dataclasses.replace(_CPU_SHAPES if on_cpu else _ACCELERATOR_SHAPES, devices=count),
        chunk=_CPU_CHUNK if on_cpu else count * _ACCELERATOR_CHUNK,
    )


def choose_devices(mesh: Mesh | None, devices: Devices | None) -> DeviceGroup | None:
    """Return the devices that the user asked for.

    A process computes on its own devices; if a mesh spans several processes, each uses its part of it.

    Args:
        mesh: Devices; the names and sizes of their axes do not matter, as only rows are split.
        devices: "all" for all devices of this process, or a list.

    Returns:
        The devices, or None for jax's default device, which is not looked up yet.

    Raises:
        InputError: Both are given, or no device is left.
    """
    if mesh is not None and devices is not None:
        raise InputError("mesh and devices both choose the devices; pass only one of them.")
    if mesh is not None:
        found = mesh.devices.flatten().tolist()
    elif devices is None:
        return None
    elif not isinstance(devices, str):
        found = list(devices)
    elif devices == "all":
        default_platform()
        found = jax.local_devices()
    else:
        raise InputError(f"devices is {devices!r}; it must be 'all' or a list of jax devices.")
    found = [device for device in found if device.process_index == jax.process_index()]
    if not found:
        raise InputError(
            "none of the devices belongs to this process; leave them out to use its default device, or pass 'all'."
        )
    return _group_of(found)


def _devices_by_id(platform: str, ids: Sequence[int] | None) -> DeviceGroup:
    """Return pickled devices, or raise InputError if this process does not have them."""
    if ids is None:
        return describe_devices()
    found = {device.id: device for device in jax.local_devices() if device.platform == platform}
    if missing := {*ids} - {*found}:
        raise InputError(
            f"the encoder was pickled with devices {platform} {sorted(ids)}, and this process does not have"
            f" {sorted(missing)}; load the model here with other devices."
        )
    return _group_of([found[id] for id in ids])


def _group_of(devices: Sequence[Device]) -> DeviceGroup:
    return describe_devices(Mesh(np.array(devices), ("rows",), axis_types=(AxisType.Auto,)))


def _platform(mesh: Mesh | None) -> str:
    return default_platform() if mesh is None else mesh.devices.flat[0].platform


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
