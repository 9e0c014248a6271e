"""`embed` compiled ahead of time: a program for each shape of batch, from disk where jax keeps compiled programs."""

import collections
import contextlib
import ctypes
import functools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
from jax import Array

from minilm_jax import program_store
from minilm_jax.batching import Batch, Shape
from minilm_jax.config import EncoderConfig
from minilm_jax.cpu_layout import arranged, packed, suits
from minilm_jax.packed_dot import unkept
from minilm_jax.params import Params

# On CPU: LLVM prefers half of what AVX-512 registers hold; int8 is 7 % faster with all of it.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_prefer_vector_width": "512"}

# One of packed kernels cannot be kept on disk. So a shape begins with the program from there, which starts at once, and
# gets a packed one when it has been computed as often as it takes to be worth compiling.
_CALLS_THAT_PAY = 64

Program: TypeAlias = Callable[[Batch], Array]


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
        self._on_cpu = jax.default_backend() == "cpu"
        self.params, self.config = jax.device_put(arranged(params) if self._on_cpu else params), config
        self._made: dict[tuple[Shape, ...], Future[Program]] = {}
        self._calls: collections.Counter[tuple[Shape, ...]] = collections.Counter()
        self._lock, self._packing = threading.Lock(), threading.Lock()

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
            self._calls[shapes] += 1
            pays = self._calls[shapes] == _CALLS_THAT_PAY
        if first:
            self._fill(program, shapes, batch)
        elif pays and self._on_cpu and program_store.path_of(self.params, batch, self.config) is not None:
            threading.Thread(target=self._quicken, args=(shapes, batch)).start()
        return program.result()(batch)

    @property
    def shapes(self) -> set[Shape]:
        """The shapes of batch that a program has been made for."""
        return {input_ids for input_ids, *_ in list(self._made)}

    def _fill(self, program: Future[Program], shapes: tuple[Shape, ...], batch: Batch) -> None:
        try:
            program.set_result(self._make(batch))
        except BaseException as error:
            del self._made[shapes]
            program.set_exception(error)

    def _make(self, batch: Batch) -> Program:
        path = program_store.path_of(self.params, batch, self.config)
        if path is None and (packed_program := self._make_packed(batch)) is not None:
            return packed_program
        program = self._compile(batch) if path is None else self._from_disk(path, batch)
        return functools.partial(program, self.params)

    def _from_disk(self, path: Path, batch: Batch) -> Any:
        if (program := program_store.load(path, self.params, batch)) is None:
            program = self._compile(batch)
            if not program_store.store(program, path, self.params, batch):
                # One that XLA had in a cache of its own cannot be written again, but under another name it is compiled.
                program = self._compile(batch, f"embed_{uuid.uuid4().hex}")
                program_store.store(program, path, self.params, batch)
        return program

    def _compile(self, batch: Batch, name: str = "embed") -> Any:
        return _compiled(name, self.params, batch, self.config)

    def _make_packed(self, batch: Batch) -> Program | None:
        with self._packing:  # By one thread, once.
            params = self._packed
            if params is None or not suits(params, np.size(batch.input_ids)):
                return None
        return functools.partial(_compiled("packed_embed", params, batch, self.config), params)

    @functools.cached_property
    def _packed(self) -> Params | None:
        return packed(self.params) if self._on_cpu else None

    def _quicken(self, shapes: tuple[Shape, ...], batch: Batch) -> None:
        if (packed_program := self._make_packed(batch)) is not None:
            self._made[shapes] = program = Future()
            program.set_result(packed_program)


def _compiled(name: str, params: Params, batch: Batch, config: EncoderConfig) -> Any:
    # Imported here, as a program from disk needs neither flax nor the encoder.
    from minilm_jax.embedding import embed

    def named(params: Params, batch: Batch) -> Array:
        return embed(params, batch, config)

    named.__name__ = name
    lowered = jax.jit(named).lower(params, batch)
    with unkept():
        program = _optimised(lowered)
    _give_back()
    return program


def _optimised(lowered: jax.stages.Lowered) -> Any:
    if jax.default_backend() == "cpu":
        with contextlib.suppress(Exception):  # Another XLA may not know the option, and says so in a way of its own.
            return lowered.compile(compiler_options=_CPU_OPTIONS)
    return lowered.compile()


def _give_back() -> None:
    """Returns to the system what compiling took: the C library would keep a third of the process's memory."""
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)
