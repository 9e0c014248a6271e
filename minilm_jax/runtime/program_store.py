"""`ProgramStore`: compiled programs on disk, which the next process loads instead of compiling them."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import platform
import stat
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jax.experimental.serialize_executable import deserialize_and_load, serialize
from jaxlib.version import __version__ as jaxlib_version

from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.cache import programs_folder
from minilm_jax.config import EncoderConfig
from minilm_jax.nn import processor
from minilm_jax.nn.params import Params
from minilm_jax.runtime.private_folder import create_private_folder, read_private_file, reason_not_private
from minilm_jax.runtime.program_choice import Outputs
from minilm_jax.tokens.packed_rows import AnyBatch
from minilm_jax.user_warnings import warn_user

# A program takes about half a megabyte.
_MAX_BYTES = 500_000_000
_DIGEST_BYTES = 32

# These modules determine the compiled program: `nn.heads`, `runtime.compiler`, and all modules that these import,
# except those that only select or store programs.
SOURCES = (
    "config/architectures.py",
    "config/checks.py",
    "config/choices.py",
    "config/encoder_config.py",
    "config/heads.py",
    "errors.py",
    "forks.py",
    "imports.py",
    "nn/attention.py",
    "nn/blocked_kernels.py",
    "nn/classification.py",
    "nn/cpu_params.py",
    "nn/dense.py",
    "nn/dropout.py",
    "nn/encoder.py",
    "nn/encoder_params.py",
    "nn/heads.py",
    "nn/inputs.py",
    "nn/integer_dot.py",
    "nn/params.py",
    "nn/partitioning.py",
    "nn/pooling.py",
    "nn/processor.py",
    "nn/settings.py",
    "nn/sparse.py",
    "runtime/compiler.py",
    "tokens/batching.py",
    "tokens/packed_rows.py",
)


class ProgramStore:
    """Compiled programs in a folder that only the user can change, shared by processes.

    Loading an entry runs its machine code. Entries that are damaged or made by other sources, versions or machines are
    never used. No method raises an error: a program that cannot be loaded is compiled.
    """

    def __init__(self, folder: Path) -> None:
        """Use an existing folder, which must be private, see `open_store`."""
        self._folder = folder

    def path_of(self, params: Params, batch: AnyBatch, config: EncoderConfig) -> Path | None:
        """Return where a program is stored, or None if the params are on several devices.

        Args:
            params: Arrays of the types and shapes that the program takes.
            batch: Arrays of the types and shapes that the program takes.
            config: The encoder's config.
        """
        leaves = jax.tree.leaves(params)
        if any(len(leaf.devices()) > 1 for leaf in leaves):
            return None
        shapes = [f"{leaf.dtype}{leaf.shape}" for leaf in jax.tree.leaves((params, batch))]
        structure = str(jax.tree.structure((params, batch))), type(leaves[0].sharding).__name__
        settings = sorted(dataclasses.asdict(config).items())
        return self.path_for((structure, shapes, settings))

    def path_for(self, key: object) -> Path:
        """Return where an entry is stored that depends on a key, the sources and the machine."""
        return self._folder / hashlib.sha256(repr((_machine(), _sources(), key)).encode()).hexdigest()

    def load(self, path: Path, params: Params, batch: AnyBatch) -> Any | None:
        """Return a stored program, or None if it is missing, damaged, or writable by other users."""
        if (payload := self.read(path)) is None:
            return None
        inputs, output = jax.tree.structure(((params, batch), {})), jax.tree.structure(Outputs(*batch[:1] * 2))
        devices = list(jax.tree.leaves(params)[0].devices())
        with contextlib.suppress(Exception):  # The error depends on the defect and on the version of jaxlib.
            return deserialize_and_load(payload, inputs, output, execution_devices=devices)
        return None

    def store(self, path: Path, program: Any) -> None:
        """Write a program on another thread."""
        self.write_later(path, lambda: serialize(program)[0])

    def write_later(self, path: Path, payload: Callable[[], bytes]) -> None:
        """Replace an entry on another thread, which the process waits for when it exits.

        Args:
            path: The entry.
            payload: Returns the content; if it fails, nothing is written.
        """
        thread = threading.Thread(target=self._write, args=(path, payload), name="minilm-jax-store")
        with contextlib.suppress(RuntimeError):  # The process is exiting.
            thread.start()

    def _write(self, path: Path, payload: Callable[[], bytes]) -> None:
        with contextlib.suppress(Exception):  # The disk may be full; some programs cannot be serialized.
            self.write(path, payload())

    def read(self, path: Path) -> bytes | None:
        """Return the content of an entry, or None if it is missing, damaged, or writable by other users."""
        try:
            content = read_private_file(path)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # The folder may be read-only.
            os.utime(path)
        digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return payload if hashlib.sha256(payload).digest() == digest else None

    def write(self, path: Path, payload: bytes) -> None:
        """Replace an entry; raises OSError if the disk is full or read-only."""
        path.unlink(missing_ok=True)  # Otherwise the mode of a rejected file would be copied.
        with atomic_write(path) as new:
            new.touch(mode=0o600)
            new.write_bytes(hashlib.sha256(payload).digest() + payload)
        self._remove_least_recently_used()

    def _remove_least_recently_used(self) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.rglob("*"):  # Interrupted writes leave files in subfolders.
            with contextlib.suppress(FileNotFoundError):  # Another process removed it.
                status = path.lstat()
                found += [(status.st_mtime, status.st_size, path)] if stat.S_ISREG(status.st_mode) else []
        excess = sum(size for _, size, _ in found) - _MAX_BYTES
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


def open_store(cache_dir: str | Path | None = None) -> ProgramStore | None:
    """Return the user's store, or None if it is disabled or cannot be used; warn if other users could write to it.

    Args:
        cache_dir: The folder for downloaded files, see `programs_folder`.
    """
    folder = programs_folder(cache_dir)
    return None if folder is None else _open(folder)


@functools.cache
def _open(folder: Path) -> ProgramStore | None:
    try:
        create_private_folder(folder)
        reason = reason_not_private(folder)
    except OSError:  # The disk is read-only or full, or there is a file in the place of the folder.
        return None
    if reason is None:
        return ProgramStore(folder)
    warn_user(
        f"compiled programs are not stored: {reason}, and a program from another user could run any code. Name a folder"
        " that only you can write to with the environment variable MINILM_JAX_PROGRAMS, or set it to 'off'."
    )
    return None


@functools.cache
def _machine() -> tuple[str, ...]:
    """Return everything besides the sources that a compiled program depends on: versions, device, CPU features."""
    device = jax.devices()[0]
    settings = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    # Flax's LayerNorm is part of the program. Its metadata states its version; importing flax would take longer than
    # loading the program.
    flax = metadata.distribution("flax").read_text("METADATA")
    versions = jax.__version__, jaxlib_version, str(flax), platform.python_version()
    hardware = device.device_kind, str(jax.device_count()), platform.machine(), processor.description()
    runtime = device.client.platform_version, str(os.cpu_count()), str(jax.config.values["jax_enable_x64"])
    return *versions, *hardware, *runtime, *settings


@functools.cache
def _sources() -> str:
    """Return a hash of the files in `SOURCES`, so that a program compiled from older sources is never used."""
    package = Path(__file__).parents[1]
    return hashlib.sha256(b"".join((package / name).read_bytes() for name in SOURCES)).hexdigest()
