"""`Programs`: one compiled program per batch shape, shared by all threads."""

import collections
import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.params import Params
from minilm_jax.nn.settings import device_use, enable_jit
from minilm_jax.runtime.compiler import Compiler
from minilm_jax.runtime.devices import DeviceGroup, describe_devices
from minilm_jax.runtime.program_choice import Program
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.tokens.batching import Batch, Shape, as_int32
from minilm_jax.tokens.packed_rows import AnyBatch, PackedBatch, check_lengths

# After this many calls of one shape, compiling a program with blocked kernels pays off.
_CALLS_THAT_PAY = 64

# 16 bits can represent this many ids.
_TWO_BYTES = 1 << 16


class ProgramKey(NamedTuple):
    """Key of a compiled program: the kind, shapes and dtypes of its batches.

    Attributes:
        kind: `Batch` or `PackedBatch`.
        shape: The shape of input_ids, (B, T).
        other_shapes: The shapes of the batch's other arrays, None for an absent one.
        dtypes: The dtypes of all its arrays.
    """

    kind: type[AnyBatch]
    shape: Shape
    other_shapes: tuple[Shape | None, ...]
    dtypes: tuple[str, ...]

    @classmethod
    def of(cls, batch: AnyBatch) -> "ProgramKey":
        """Return the key of a batch."""
        others = tuple([None if x is None else x.shape for x in batch[1:]])
        return cls(type(batch), batch.input_ids.shape, others, tuple([x.dtype.name for x in batch if x is not None]))


class Programs:
    """Compiled programs for `embed`, one per batch shape, for use from any number of threads.

    Attributes:
        shapes: The shapes of the padded batches that a program exists for.
        compilations: Number of programs made.
    """

    @device_use()
    def __init__(
        self,
        params: Params,
        config: EncoderConfig,
        devices: DeviceGroup | None = None,
        store: ProgramStore | None = None,
    ) -> None:
        """Create a collection without programs; each is compiled when its shape first occurs.

        Args:
            params: The parameter tree.
            config: The encoder's config.
            devices: The devices that compute; jax's default device if None.
            store: Where compiled programs are kept for the next process, if anywhere.
        """
        self._devices = devices or describe_devices()
        self._compiler = Compiler(params, config, self._devices, store)
        self._narrow = not self._devices.on_cpu and config.vocab_size <= _TWO_BYTES
        self._made: dict[ProgramKey, Future[Program]] = {}
        self._calls: collections.Counter[ProgramKey] = collections.Counter()
        self._lock = threading.Lock()
        self.shapes: frozenset[Shape] = frozenset()
        self.compilations = 0

    @device_use()
    @enable_jit
    def __call__(self, batch: AnyBatch) -> NDArray[np.floating]:
        """Embed a batch.

        Args:
            batch: Arrays of int[B, T], or packed rows.

        Returns:
            float32[B, D] or [B, S, D]; float16 where an accelerator computes in 16 bits, so that less is copied.

        Raises:
            InputError: The shapes of the batch do not fit each other or the position table.
        """
        if isinstance(batch, PackedBatch):
            check_lengths(batch)
        rows = len(batch.input_ids)
        arrays = [None if x is None else self._integers(name, x) for name, x in zip(batch._fields, batch, strict=True)]
        placed: Any = self._devices.split(type(batch)(*arrays))
        key = ProgramKey.of(placed)
        return np.asarray(self._program(key, placed)(placed))[:rows]

    @property
    def params(self) -> Params:
        """Parameter tree on the devices, in the form used for computation."""
        return self._compiler.params

    @property
    def computed_in(self) -> str:
        """Dtype of the matrix products."""
        return self._compiler.computed_in

    def _integers(self, name: str, x: Any) -> NDArray[Any]:
        """Convert ids and masks to int32, or on accelerators to uint16 if they fit, so that less is copied."""
        array = (np.asarray(x) != 0).astype(np.int32) if name == "attention_mask" else as_int32(x)
        fits = self._narrow and array.min(initial=0) >= 0 and array.max(initial=0) < _TWO_BYTES
        return array.astype(np.uint16) if fits and array.dtype == np.int32 else array

    def _program(self, key: ProgramKey, batch: AnyBatch) -> Program:
        """Return the program for a key; the first thread that needs it compiles it, and others wait."""
        program: Future[Program] = Future()
        try:
            with self._lock:
                found = self._made.setdefault(key, program)
                if found is program:
                    self._count()
                self._calls[key] += 1
                pays = self._calls[key] == _CALLS_THAT_PAY
            if found is program:
                program.set_result(self._compiler.compile(batch))
        except BaseException as error:  # An interrupt may arrive at any time, and other threads must not wait forever.
            if not program.done():
                program.set_exception(error)
                with self._lock:
                    if self._made.get(key) is program:
                        del self._made[key]
                    self._count()
            raise
        if pays and self._compiler.can_upgrade(batch):
            threading.Thread(target=self._upgrade, args=(key, batch), name="minilm-jax-upgrade").start()
        return found.result()

    def _count(self) -> None:
        self.compilations = len(self._made)
        self.shapes = frozenset(made.shape for made in self._made if made.kind is Batch)

    @device_use()
    @enable_jit
    def _upgrade(self, key: ProgramKey, batch: AnyBatch) -> None:
        if (faster := self._compiler.upgrade(batch)) is not None:
            self._made[key] = program = Future()
            program.set_result(faster)
