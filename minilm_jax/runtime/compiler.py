"""`Compiler`: programs that compute a model for batches of one shape, loaded from disk or compiled by XLA."""

import contextlib
import ctypes
import dataclasses
import functools
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minilm_jax.config import EncoderConfig
from minilm_jax.imports import import_completely
from minilm_jax.nn.blocked_kernels import without_disk_cache
from minilm_jax.nn.cpu_params import (
    blocked_kernels_work,
    original_params,
    prepare_for_cpu,
    with_blocked_kernels,
    without_blocked_kernels,
)
from minilm_jax.nn.params import Params, flatten
from minilm_jax.runtime.checked_program import CheckedProgram
from minilm_jax.runtime.devices import DeviceGroup
from minilm_jax.runtime.program_choice import Outputs, Program, faster_program
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.tokens.packed_rows import AnyBatch

# LLVM uses only half of each AVX-512 register by default; int8 is 7 % faster with the full width.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_prefer_vector_width": "512"}

_NAME = "embed"
_BLOCKED = "blocked_embed"


class Compiler:
    """Compiler of programs for one model on one group of devices.

    Attributes:
        params: The parameter tree on the devices, in the form used for computation.
        devices: The devices.
        computed_in: The dtype of the matrix products, which may differ from the requested precision.
        compiled: Number of programs compiled.
        loaded: Number of programs loaded from disk.
        compile_seconds: Seconds spent on compiling, added over all threads.
    """

    def __init__(
        self, params: Params, config: EncoderConfig, devices: DeviceGroup, store: ProgramStore | None = None
    ) -> None:
        """Copy the params to the devices, in the form that is fastest there.

        Args:
            params: The parameter tree.
            config: The encoder's config.
            devices: The devices.
            store: Where programs are kept for the next process, if anywhere.
        """
        self._dtypes = {path: leaf.dtype for path, leaf in flatten(params).items()}
        self.params = devices.replicate(prepare_for_cpu(params) if devices.on_cpu else params)
        self.devices, self._config, self._store = devices, config, store
        kernel = next(leaf for path, leaf in flatten(self.params).items() if path.endswith(".dense.kernel"))
        # Accelerators multiply int8 kernels in bfloat16, see `nn.dense`.
        self.computed_in = "bfloat16" if kernel.dtype == jnp.int8 and not devices.on_cpu else str(kernel.dtype)
        self._counting = threading.Lock()
        self.compiled = self.loaded = 0
        self.compile_seconds = 0.0

    @property
    def original_params(self) -> Params:
        """The parameter tree that this object was created with, on jax's default device."""
        params = original_params(self.params, self._dtypes) if self.devices.on_cpu else self.params
        return params if self.devices.mesh is None else jax.tree.map(np.asarray, params)

    def compile(self, batch: AnyBatch) -> Program:
        """Return a program for batches of this shape, from disk if it is stored there."""
        params = self.params
        if blocked_kernels_work(params, np.size(batch.input_ids)):
            return self._compile_blocked(params, batch)
        params = self.devices.replicate(without_blocked_kernels(params))
        first, *others = self.configs
        program = self._load_or_compile(params, batch, first)
        for config in others:
            # The attention kernel may not support the device or the shape.
            with contextlib.suppress(Exception):
                other = self._load_or_compile(params, batch, config)
                program = faster_program(program, other, batch)
        return program

    def upgrade(self, made: Sequence[tuple[AnyBatch, Program]]) -> list[Program] | None:
        """Compile programs with blocked kernels in place of others; they may be faster, but cannot be stored.

        Args:
            made: The programs, each with a batch; the first one is used most and decides.

        Returns:
            The new programs, or None if they are not faster or do not work. From then on, `params` has blocked kernels,
            and the others are freed with the last program that uses them.
        """
        params = self._blocked_params()
        if params is None or not all(blocked_kernels_work(params, np.size(batch.input_ids)) for batch, _ in made):
            return None
        (batch, program), *others = made
        first = self._compile_blocked(params, batch)
        if faster_program(program, first, batch) is program:
            return None
        programs = [first, *(self._compile_blocked(params, batch) for batch, _ in others)]
        self.params = params
        return programs

    @property
    def configs(self) -> list[EncoderConfig]:
        """The config, followed by variants that compute the same result and may be faster on these devices."""
        try_cudnn = self.devices.platform == "gpu" and self.computed_in != "float32"
        return [self._config] + [dataclasses.replace(self._config, attention_implementation="cudnn")] * try_cudnn

    def _load_or_compile(self, params: Params, batch: AnyBatch, config: EncoderConfig) -> Program:
        path = None if self._store is None else self._store.path_of(params, batch, config)
        if self._store is None or path is None:
            return functools.partial(self._compile(_NAME, params, batch, config), params)
        compile_ = functools.partial(self._compile_and_store, self._store, path, params, batch, config)
        if (loaded := self._store.load(path, params, batch)) is None:
            return compile_()
        with self._counting:
            self.loaded += 1
        return CheckedProgram(functools.partial(loaded, params), compile_)

    def _compile_and_store(
        self, store: ProgramStore, path: Path, params: Params, batch: AnyBatch, config: EncoderConfig
    ) -> Program:
        # XLA cannot write a program that it read from its own cache; a new name makes it compile the program.
        cached = jax.config.values["jax_compilation_cache_dir"] is not None
        program = self._compile(f"{_NAME}_{uuid.uuid4().hex}" if cached else _NAME, params, batch, config)
        store.store(path, program)
        return functools.partial(program, params)

    def _compile_blocked(self, params: Params, batch: AnyBatch) -> Program:
        return functools.partial(self._compile(_BLOCKED, params, batch, self._config), params)

    def _blocked_params(self) -> Params | None:
        # XLA cannot split blocked kernels over devices.
        return with_blocked_kernels(self.params) if self.devices.on_cpu and self.devices.count == 1 else None

    def _compile(self, name: str, params: Params, batch: AnyBatch, config: EncoderConfig) -> Any:
        start = time.perf_counter()
        # These modules are imported here, because a program from disk needs neither flax nor the encoder.
        import_completely("minilm_jax.nn.heads")
        from minilm_jax.nn.heads import results_and_hidden_state

        # Copying the logits of a classifier takes no time.
        halves = not self.devices.on_cpu and self.computed_in != "float32" and config.classifier is None

        def named(params: Params, batch: AnyBatch) -> Outputs:
            vectors, last_hidden_state = results_and_hidden_state(params, batch, config)
            return Outputs(vectors.astype(jnp.float16) if halves else vectors, last_hidden_state)

        named.__name__ = name
        lowered = jax.jit(named).lower(params, batch)
        with without_disk_cache() if name != _NAME else contextlib.nullcontext():
            program = _compile_with(lowered, _CPU_OPTIONS if self.devices.on_cpu else {})
        _free_compiler_memory()
        with self._counting:
            self.compiled += 1
            self.compile_seconds += time.perf_counter() - start
        return program


def _compile_with(lowered: jax.stages.Lowered, options: dict[str, str | bool]) -> Any:
    if options:
        # Other versions of XLA may not know the options; the error type varies.
        with contextlib.suppress(Exception):
            return lowered.compile(compiler_options=options)
    return lowered.compile()


def _free_compiler_memory() -> None:
    """Return the compiler's memory to the system; otherwise the C library keeps a third of the process's memory."""
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has this function.
        ctypes.CDLL(None).malloc_trim(0)
