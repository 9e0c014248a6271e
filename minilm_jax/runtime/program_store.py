"""Compiled programs on disk, in jax's compilation cache folder; outdated or foreign programs are never used."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import platform
from importlib import metadata
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

# These modules determine the compiled program: `nn.embedding`, `runtime.compiler`, and all modules that these import,
# except those that only select or store programs.
SOURCES = (
    "config/architectures.py",
    "config/choices.py",
    "config/encoder_config.py",
    "errors.py",
    "forks.py",
    "imports.py",
    "nn/attention.py",
    "nn/blocked_kernels.py",
    "nn/cpu_params.py",
    "nn/dense.py",
    "nn/embedding.py",
    "nn/encoder.py",
    "nn/encoder_params.py",
    "nn/inputs.py",
    "nn/integer_dot.py",
    "nn/params.py",
    "nn/partitioning.py",
    "nn/pooling.py",
    "nn/processor.py",
    "nn/settings.py",
    "runtime/compiler.py",
    "tokens/batching.py",
    "tokens/packed_rows.py",
)


def path_of(params: Params, batch: AnyBatch, config: EncoderConfig) -> Path | None:
    """Return where a program is stored, or None if the compilation cache is off or params are on several devices.

    Args:
        params: Arrays of the types and shapes that the program takes.
        batch: Arrays of the types and shapes that the program takes.
        config: The encoder's config.
    """
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue] defined at run time
    if folder is None or any(len(leaf.devices()) > 1 for leaf in jax.tree.leaves(params)):
        return None
    shapes = [f"{leaf.dtype}{leaf.shape}" for leaf in jax.tree.leaves((params, batch))]
    settings = sorted(dataclasses.asdict(config).items())
    key = (_machine(), _sources(), str(jax.tree.structure((params, batch))), shapes, settings)
    return Path(folder) / "embed" / hashlib.sha256(repr(key).encode()).hexdigest()


def store(program: Any, path: Path, params: Params, batch: AnyBatch) -> bool:
    """Store a program and return True, or return False if it cannot be read back; an unwritable cache is ignored."""
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
    """Return a stored program, or None if it is missing or cannot be read for any reason."""
    with contextlib.suppress(Exception):
        if path.is_file():
            return _read(path.read_bytes(), params, batch)
    return None


def _read(payload: bytes, params: Params, batch: AnyBatch) -> Any:
    inputs, output = jax.tree.structure(((params, batch), {})), jax.tree.structure(0)
    devices = list(jax.tree.leaves(params)[0].devices())
    program = serialize_executable.deserialize_and_load(payload, inputs, output, execution_devices=devices)
    jax.block_until_ready(program(params, batch))  # Some defects only appear when the program runs.
    return program


@functools.cache
def _machine() -> tuple[str, ...]:
    """Return everything besides the sources that a compiled program depends on: versions, device, CPU features."""
    device = jax.devices()[0]
    settings = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    # Flax's LayerNorm is part of the program. Flax's version is read from metadata, because importing flax takes longer
    # than loading a program.
    versions = jax.__version__, jaxlib_version, metadata.version("flax"), platform.python_version()
    hardware = device.device_kind, str(jax.device_count()), platform.machine(), processor.description()
    runtime = device.client.platform_version, str(os.cpu_count()), str(jax.config.values["jax_enable_x64"])
    return *versions, *hardware, *runtime, *settings


@functools.cache
def _sources() -> str:
    """Return a hash of the files in `SOURCES`, so that a program compiled from older sources is never used."""
    package = Path(__file__).parents[1]
    return hashlib.sha256(b"".join((package / name).read_bytes() for name in SOURCES)).hexdigest()
