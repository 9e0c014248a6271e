"""`embed` compiled ahead of time: a program for each shape of batch, kept on disk where jax keeps compiled programs."""

import contextlib
import functools
import hashlib
import os
import platform
import threading
import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import serialize_executable
from jaxlib.version import __version__ as jaxlib_version

from minilm_jax import processor
from minilm_jax.batching import Batch, Shape
from minilm_jax.config import EncoderConfig
from minilm_jax.packed_dot import pack
from minilm_jax.params import Params, flatten, unflatten
from minilm_jax.whole_files import replaced

# On CPU: LLVM prefers half of what AVX-512 registers hold; int8 is 7 % faster with all of it.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_prefer_vector_width": "512"}


class Programs:
    """Computes `embed` with one compiled program for each shape, from any number of threads.

    Attributes:
        params: The parameter tree, on its device, as it is computed with.
        config: Sizes of the encoder that params belong to.
    """

    def __init__(self, params: Params, config: EncoderConfig) -> None:
        """Starts with no program; each is made when its shape is first met.

        Args:
            params: The parameter tree.
            config: Sizes of the encoder that params belong to.
        """
        self.params, self.config = jax.device_put(_as_computed(params)), config
        self._made: dict[tuple[Shape, ...], Future[Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, batch: Batch) -> Array:
        """Embeds a batch.

        Args:
            batch: Arrays of int[B, T].

        Returns:
            float32[B, D].

        Raises:
            InputError: The shapes of the batch do not fit each other or the position table.
        """
        # A program takes one type of array only.
        batch = Batch(*(x if x is None else np.asarray(x, np.int32) for x in batch))
        shapes = tuple(np.shape(x) for x in batch if x is not None)
        with self._lock:
            first = shapes not in self._made
            program = self._made.setdefault(shapes, Future())
        if first:
            self._fill(program, shapes, batch)
        return program.result()(self.params, batch)

    @property
    def shapes(self) -> set[Shape]:
        """The shapes of batch that a program has been made for."""
        return {input_ids for input_ids, *_ in list(self._made)}

    def _fill(self, program: Future[Any], shapes: tuple[Shape, ...], batch: Batch) -> None:
        try:
            program.set_result(_load(self.params, batch, self.config) or _compile(self.params, batch, self.config))
        except BaseException as error:
            del self._made[shapes]
            program.set_exception(error)


def _as_computed(params: Params) -> Params:
    """Gives kernels the form that the processor multiplies fastest: some of bfloat16 in float32, and packed."""
    if jax.default_backend() != "cpu":
        return params
    leaves = flatten(params)
    widened = not processor.multiplies_bfloat16_faster()
    for path, leaf in leaves.items():
        if path.endswith(".kernel") and leaf.dtype == jnp.bfloat16 and widened:
            leaves[path] = leaf.astype(jnp.float32)
        if path.endswith(".kernel") and path.startswith("encoder."):
            leaves[path] = pack(leaves[path])
    return unflatten(leaves)


def _compile(params: Params, batch: Batch, config: EncoderConfig) -> Any:
    path = _path(params, batch, config)
    program = _compiled("embed", params, batch, config)
    if path is not None and not _store(program, path, params, batch):
        # One that XLA had in a cache of its own cannot be written again. Under another name it has to be compiled.
        program = _compiled(f"embed_{uuid.uuid4().hex}", params, batch, config)
        _store(program, path, params, batch)
    return program


def _compiled(name: str, params: Params, batch: Batch, config: EncoderConfig) -> Any:
    # Imported here, as a program from disk needs neither flax nor the encoder.
    from minilm_jax.embedding import embed

    def named(params: Params, batch: Batch) -> Array:
        return embed(params, batch, config)

    named.__name__ = name
    lowered = jax.jit(named).lower(params, batch)
    if jax.default_backend() == "cpu":
        with contextlib.suppress(Exception):  # Another XLA may not know the option, and says so in a way of its own.
            return lowered.compile(compiler_options=_CPU_OPTIONS)
    return lowered.compile()


def _store(program: Any, path: Path, params: Params, batch: Batch) -> bool:
    """Keeps a program if it can be read again; a cache that cannot be written is done without."""
    try:
        payload = serialize_executable.serialize(program)[0]
        _read(payload, params, batch)
    except Exception:
        return False
    with contextlib.suppress(Exception):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with replaced(path) as new:
            new.write_bytes(payload)
    return True


def _load(params: Params, batch: Batch, config: EncoderConfig) -> Any | None:
    path = _path(params, batch, config)
    # One that cannot be read, for whatever reason, is made again.
    with contextlib.suppress(Exception):
        if path is not None and path.is_file():
            return _read(path.read_bytes(), params, batch)
    return None


def _read(payload: bytes, params: Params, batch: Batch) -> Any:
    inputs, output = jax.tree.structure(((params, batch), {})), jax.tree.structure(0)
    devices = list(jax.tree.leaves(params)[0].devices())
    program = serialize_executable.deserialize_and_load(payload, inputs, output, execution_devices=devices)
    jax.block_until_ready(program(params, batch))  # What is wrong with it may show only here.
    return program


def _path(params: Params, batch: Batch, config: EncoderConfig) -> Path | None:
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue] defined at run time
    if folder is None or any(len(leaf.devices()) > 1 for leaf in jax.tree.leaves(params)):
        return None
    shapes = [f"{leaf.dtype}{leaf.shape}" for leaf in jax.tree.leaves((params, batch))]
    key = (_machine(), _sources(), str(jax.tree.structure((params, batch))), shapes, config)
    return Path(folder) / "embed" / hashlib.sha256(repr(key).encode()).hexdigest()


@functools.cache
def _machine() -> tuple[str, ...]:
    """Returns what a compiled program depends on beside its source: versions, the device, and what the CPU can do."""
    device = jax.devices()[0]
    settings = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    versions = jax.__version__, jaxlib_version, device.client.platform_version, platform.python_version()
    hardware = device.device_kind, str(jax.device_count()), platform.machine(), processor.description(), str(os.cpu_count())
    return *versions, *hardware, *settings, str(jax.config.values["jax_enable_x64"])


@functools.cache
def _sources() -> str:
    """Returns a hash of the modules that say what is computed, so that a change of them is never overlooked."""
    names = ("attention", "embedding", "encoder", "integer_dot", "packed_dot", "pooling", "precision", "programs")
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in names)).hexdigest()
