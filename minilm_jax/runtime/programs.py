"""`embed` compiled ahead of time: a program for each shape of batch, from disk where jax keeps compiled programs."""

import collections
import contextlib
import ctypes
import dataclasses
import functools
import threading
import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.blocked_kernels import unkept
from minilm_jax.nn.cpu_params import arranged, packed, suits
from minilm_jax.nn.params import Params, flatten
from minilm_jax.runtime import program_store
from minilm_jax.runtime.devices import ONE_DEVICE, DeviceGroup
from minilm_jax.runtime.program_trial import Program, faster
from minilm_jax.tokens.batching import Batch, Shape
from minilm_jax.tokens.packed_rows import AnyBatch

# On CPU: LLVM prefers half of what AVX-512 registers hold; int8 is 7 % faster with all of it.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_prefer_vector_width": "512"}

# One of packed kernels cannot be kept on disk. So a shape begins with the program from there, which starts at once, and
# gets a packed one when it has been computed as often as it takes to be worth compiling.
_CALLS_THAT_PAY = 64

# 16-bit ids count so far.
_TWO_BYTES = 1 << 16

# What kind of batch, and the shapes and types of its arrays.
_Form: TypeAlias = tuple[Any, ...]


class Programs:
    """Computes `embed` with one compiled program for each shape, from any number of threads.

    Attributes:
        params: The parameter tree, on its device, as it is computed with.
        config: Sizes of the encoder that params belong to.
    """

    def __init__(self, params: Params, config: EncoderConfig, placement: DeviceGroup = ONE_DEVICE) -> None:
        """Starts with no program; each is made when its shape is first met.

        Args:
            params: The parameter tree.
            config: Sizes of the encoder that params belong to.
            placement: Where to compute.
        """
        self._placement = placement
        self.params, self.config = placement.copied(arranged(params) if placement.on_cpu else params), config
        self._made: dict[_Form, Future[Program]] = {}
        self._calls: collections.Counter[_Form] = collections.Counter()
        self._lock, self._packing = threading.Lock(), threading.Lock()

    def __call__(self, batch: AnyBatch) -> NDArray[np.floating]:
        """Embeds a batch.

        Args:
            batch: Of int[B, T] arrays, or of packed rows.

        Returns:
            float32[B, D] or [B, S, D]; float16 where an accelerator computes in 16 bits, so that less is copied.

        Raises:
            InputError: The shapes of the batch do not fit each other or the position table.
        """
        rows = len(batch.input_ids)
        batch = self._placement.split(jax.tree.map(self._narrowed, batch))
        form = (type(batch).__name__, *((np.shape(x), x.dtype.name) for x in batch if x is not None))
        with self._lock:
            first = form not in self._made
            program = self._made.setdefault(form, Future())
            self._calls[form] += 1
            pays = self._calls[form] == _CALLS_THAT_PAY
        if first:
            self._fill(program, form, batch)
        elif pays and self._placement.on_cpu and self._path(batch, self.config) is not None:
            threading.Thread(target=self._quicken, args=(form, batch)).start()
        return np.asarray(program.result()(batch))[:rows]

    @property
    def shapes(self) -> set[Shape]:
        """The shapes of padded batch that a program has been made for."""
        return {ids for kind, (ids, _), *_ in list(self._made) if kind == Batch.__name__}

    @property
    def compilations(self) -> int:
        """How many programs have been made."""
        return len(self._made)

    @property
    def computed_in(self) -> str:
        """The type of number that is multiplied."""
        return _multiplied(self.params, self._placement)

    def _narrowed(self, x: Any) -> NDArray[np.integer]:
        """Gives ids the type that programs take: on an accelerator 16 bits if they fit, so that less is copied."""
        array = np.asarray(x)
        narrow = not self._placement.on_cpu and self.config.vocab_size <= _TWO_BYTES
        fits = narrow and array.min(initial=0) >= 0 and array.max(initial=0) < _TWO_BYTES
        return np.asarray(array, np.uint16 if fits else np.int32)

    def _fill(self, program: Future[Program], form: _Form, batch: AnyBatch) -> None:
        try:
            program.set_result(self._make(batch))
        except BaseException as error:
            del self._made[form]
            program.set_exception(error)

    def _make(self, batch: AnyBatch) -> Program:
        if self._path(batch, self.config) is None and (packed_program := self._make_packed(batch)) is not None:
            return packed_program
        first, *others = self._configs
        program = functools.partial(self._from_disk(batch, first), self.params)
        for config in others:
            with contextlib.suppress(Exception):  # A kernel may not know the device, or may not take the shape.
                program = faster(program, functools.partial(self._from_disk(batch, config), self.params), batch)
        return program

    @property
    def _configs(self) -> list[EncoderConfig]:
        """The config, and its like that might be faster here."""
        takes_cudnn = self._placement.on_gpu and self.computed_in != "float32"
        return [self.config] + [dataclasses.replace(self.config, attention_implementation="cudnn")] * takes_cudnn

    def _path(self, batch: AnyBatch, config: EncoderConfig) -> Path | None:
        return program_store.path_of(self.params, batch, config)

    def _from_disk(self, batch: AnyBatch, config: EncoderConfig) -> Any:
        if (path := self._path(batch, config)) is None:
            return _compiled("embed", self.params, batch, config, self._placement)
        if (program := program_store.load(path, self.params, batch)) is None:
            program = _compiled("embed", self.params, batch, config, self._placement)
            if not program_store.store(program, path, self.params, batch):
                # One that XLA had in a cache of its own cannot be written again, but under another name it is compiled.
                program = _compiled(f"embed_{uuid.uuid4().hex}", self.params, batch, config, self._placement)
                program_store.store(program, path, self.params, batch)
        return program

    def _make_packed(self, batch: AnyBatch) -> Program | None:
        with self._packing:  # By one thread, once.
            params = self._packed
            if params is None or not suits(params, np.size(batch.input_ids)):
                return None
        return functools.partial(_compiled("packed_embed", params, batch, self.config, self._placement), params)

    @functools.cached_property
    def _packed(self) -> Params | None:
        # The compiler cannot split what is packed over devices.
        return packed(self.params) if self._placement.on_cpu and self._placement.count == 1 else None

    def _quicken(self, form: _Form, batch: AnyBatch) -> None:
        if (packed_program := self._make_packed(batch)) is not None:
            self._made[form] = program = Future()
            program.set_result(packed_program)


def _compiled(name: str, params: Params, batch: AnyBatch, config: EncoderConfig, placement: DeviceGroup) -> Any:
    # Imported here, as a program from disk needs neither flax nor the encoder.
    from minilm_jax.nn.embedding import embed

    halves = not placement.on_cpu and _multiplied(params, placement) != "float32"

    def named(params: Params, batch: AnyBatch) -> Array:
        vectors = embed(params, batch, config)
        return vectors.astype(jnp.float16) if halves else vectors

    named.__name__ = name
    lowered = jax.jit(named).lower(params, batch)
    with unkept():
        program = _optimised(lowered, _CPU_OPTIONS if placement.on_cpu else {})
    _give_back()
    return program


def _multiplied(params: Params, placement: DeviceGroup) -> str:
    kernel = next(leaf for path, leaf in flatten(params).items() if path.endswith(".dense.kernel"))
    return "bfloat16" if kernel.dtype == jnp.int8 and not placement.on_cpu else str(kernel.dtype)


def _optimised(lowered: jax.stages.Lowered, options: dict[str, str | bool]) -> Any:
    if options:
        with contextlib.suppress(Exception):  # Another XLA may not know them, and says so in a way of its own.
            return lowered.compile(compiler_options=options)
    return lowered.compile()


def _give_back() -> None:
    """Returns to the system what compiling took: the C library would keep a third of the process's memory."""
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)
