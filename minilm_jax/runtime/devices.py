"""Where a model is computed: on one device, or on several that share the rows of each batch."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from minilm_jax.errors import InputError
from minilm_jax.tokens.batching import TOKEN_BUDGET

Devices = Literal["all"] | Sequence[jax.Device]

_Tree = TypeVar("_Tree")

# Tokens a call that keep an accelerator busy.
_ACCELERATOR_BUDGET = 131_072

# On an accelerator: one batch is computed while the next is laid out and copied and the one before it is copied back.
_ACCELERATOR_STREAMS = 3

# Texts that are worth a call of `encode` where there are more: enough to sort into full batches.
_CPU_CHUNK = 4_096
_ACCELERATOR_CHUNK = 65_536


@dataclasses.dataclass(frozen=True)
class DeviceGroup:
    """The devices that a model's params are copied to and that share the rows of each batch.

    Attributes:
        mesh: The devices on one axis, or None for the one that jax takes by default.
    """

    mesh: Mesh | None = None

    @property
    def on_cpu(self) -> bool:
        """Whether the devices are CPUs."""
        return self._platform == "cpu"

    @property
    def on_gpu(self) -> bool:
        """Whether they are GPUs."""
        return self._platform == "gpu"

    @property
    def count(self) -> int:
        """How many devices there are."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def token_budget(self) -> int:
        """Most tokens a call."""
        return self.count * (TOKEN_BUDGET if self.on_cpu else _ACCELERATOR_BUDGET)

    @property
    def streams(self) -> int:
        """How many batches keep the devices busy; on CPU one a core, since one alone leaves the cores waiting."""
        return max(1, _cores() // self.count) if self.on_cpu else _ACCELERATOR_STREAMS

    @property
    def chunk(self) -> int:
        """How many texts are worth a call of `encode`."""
        return _CPU_CHUNK if self.on_cpu else self.count * _ACCELERATOR_CHUNK

    @property
    def _platform(self) -> str:
        return jax.default_backend() if self.mesh is None else self.mesh.devices.flat[0].platform

    def copied(self, params: _Tree) -> _Tree:
        """Puts params on every device."""
        return jax.device_put(params, self._sharding())

    def split(self, batch: _Tree) -> _Tree:
        """Puts the rows of a batch on the devices, and rows of zeros after them where they cannot be split evenly."""
        if self.mesh is None:
            return batch
        even = jax.tree.map(lambda x: np.pad(x, ((0, -len(x) % self.count), (0, 0))), batch)
        return jax.device_put(even, self._sharding(*self.mesh.axis_names))

    def _sharding(self, *axes: str) -> Any:
        return None if self.mesh is None else NamedSharding(self.mesh, PartitionSpec(*axes))


ONE_DEVICE = DeviceGroup()


def choose_devices(mesh: Mesh | None, devices: Devices | None) -> DeviceGroup:
    """Returns where to compute, by what the user said.

    A process computes on devices of its own: of a mesh that spans several processes each takes its part.

    Args:
        mesh: Devices; neither their axes nor what these are for matters, as rows are all that is split.
        devices: "all" for all of this process's, or some of them.

    Raises:
        InputError: Both are given, or there is no device among them.
    """
    if mesh is not None and devices is not None:
        raise InputError("mesh and devices say the same thing; give one of them.")
    if mesh is not None:
        found = mesh.devices.flatten().tolist()
    elif devices is None:
        return ONE_DEVICE
    elif not isinstance(devices, str):
        found = list(devices)
    elif devices == "all":
        found = jax.local_devices()
    else:
        raise InputError(f"devices is {devices!r}; it must be 'all' or a list of jax devices.")
    found = [device for device in found if device.process_index == jax.process_index()]
    if not found:
        raise InputError(
            "none of the devices is this process's own; leave them out for its default one, or give 'all'."
        )
    return DeviceGroup(Mesh(np.array(found), ("rows",), axis_types=(AxisType.Auto,)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
