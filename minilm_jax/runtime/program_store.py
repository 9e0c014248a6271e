"""Compiled programs on disk, where jax keeps its own: written whole, and never used where they do not fit."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable
from jaxlib.version import __version__ as jaxlib_version

from minilm_jax.atomic_files import atomic_write
from minilm_jax.config import EncoderConfig
from minilm_jax.nn import processor
from minilm_jax.nn.params import Params
from minilm_jax.tokens.packed_rows import AnyBatch

# The modules that are compiled into a program, by their path within the package.
SOURCES = (
    "nn/attention.py",
    "nn/blocked_kernels.py",
    "nn/dense.py",
    "nn/embedding.py",
    "nn/encoder.py",
    "nn/inputs.py",
    "nn/integer_dot.py",
    "nn/pooling.py",
    "runtime/programs.py",
)


def path_of(params: Params, batch: AnyBatch, config: EncoderConfig) -> Path | None:
    """Returns where a program is kept, or None where none are: jax's compilation cache is off, or devices are several.

    Args:
        params: Arrays of the types and shapes that it takes.
        batch: Likewise.
        config: Sizes of the encoder.
    """
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue] defined at run time
    if folder is None or any(len(leaf.devices()) > 1 for leaf in jax.tree.leaves(params)):
        return None
    shapes = [f"{leaf.dtype}{leaf.shape}" for leaf in jax.tree.leaves((params, batch))]
    key = (_machine(), _sources(), str(jax.tree.structure((params, batch))), shapes, dataclasses.astuple(config))
    return Path(folder) / "embed" / hashlib.sha256(repr(key).encode()).hexdigest()


def store(program: Any, path: Path, params: Params, batch: AnyBatch) -> bool:
    """Keeps a program if it can be read again; a cache that cannot be written is done without."""
    try:
        payload = serialize_executable.serialize(program)[0]
        _read(payload, params, batch)
    except Exception:
        return False
    with contextlib.suppress(Exception):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with atomic_write(path) as new:
            new.write_bytes(payload)
    return True


def load(path: Path, params: Params, batch: AnyBatch) -> Any | None:
    """Returns a program, or None where there is none that can be read, for whatever reason."""
    with contextlib.suppress(Exception):
        if path.is_file():
            return _read(path.read_bytes(), params, batch)
    return None


def _read(payload: bytes, params: Params, batch: AnyBatch) -> Any:
    inputs, output = jax.tree.structure(((params, batch), {})), jax.tree.structure(0)
    devices = list(jax.tree.leaves(params)[0].devices())
    program = serialize_executable.deserialize_and_load(payload, inputs, output, execution_devices=devices)
    jax.block_until_ready(program(params, batch))  # What is wrong with it may show only here.
    return program


@functools.cache
def _machine() -> tuple[str, ...]:
    """Returns what a compiled program depends on beside its source: versions, the device, and what the CPU can do."""
    device = jax.devices()[0]
    settings = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    versions = jax.__version__, jaxlib_version, device.client.platform_version, platform.python_version()
    hardware = device.device_kind, str(jax.device_count()), platform.machine(), processor.description()
    return *versions, *hardware, str(os.cpu_count()), *settings, str(jax.config.values["jax_enable_x64"])


@functools.cache
def _sources() -> str:
    """Returns a hash of the modules that say what is computed, so that a change of them is never overlooked."""
    package = Path(__file__).parents[1]
    return hashlib.sha256(b"".join((package / name).read_bytes() for name in SOURCES)).hexdigest()
