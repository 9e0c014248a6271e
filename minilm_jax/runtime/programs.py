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
from minilm_jax.runtime.program_choice import Outputs, Program
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.tokens.batching import Shape, as_int32
from minilm_jax.tokens.packed_rows import AnyBatch, PackedBatch, check_lengths

# After this many tokens, compiling all programs again with blocked kernels pays off.
_TOKENS_THAT_PAY = 1 << 18

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
    """Compiled programs of a model, one per batch shape, for use from any number of threads."""

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
        self._batches: dict[ProgramKey, AnyBatch] = {}
        self._tokens: collections.Counter[ProgramKey] = collections.Counter()
        self._upgrading = threading.Lock()
        self._lock = threading.Lock()

    @device_use()
    @enable_jit
    def __call__(self, batch: AnyBatch) -> NDArray[np.floating]:
        """Compute the result of each text in a batch.

        Args:
            batch: Arrays of int[B, T], or packed rows.

        Returns:
            float32[B, E] or [B, S, E], where E is `config.output_size`; float16 where an accelerator computes in 16
            bits, so that less is copied.

        Raises:
            InputError: The shapes of the batch do not fit each other or the position table.
        """
        return np.asarray(self._run(batch).vectors)[: len(batch.input_ids)]

    @device_use()
    @enable_jit
    def last_hidden_state(self, batch: AnyBatch) -> NDArray[np.float32]:
        """Compute the token vectors of a batch, float32[B, T, D], otherwise like `__call__`."""
        return np.asarray(self._run(batch).last_hidden_state)[: len(batch.input_ids)]

    def _run(self, batch: AnyBatch) -> Outputs:
        if isinstance(batch, PackedBatch):
            check_lengths(batch)
        arrays = [None if x is None else self._integers(name, x) for name, x in zip(batch._fields, batch, strict=True)]
        placed: Any = self._devices.split(type(batch)(*arrays))
        key = ProgramKey.of(placed)
        return self._program(key, placed)(placed)

    @property
    def compilations(self) -> int:
        """Number of programs made."""
        return len(self._made)

    @property
    def compiler(self) -> Compiler:
        """The compiler, which counts its work."""
        return self._compiler

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
                before = self._tokens.total()
                self._tokens[key] += np.size(batch.input_ids)
                pays = before < _TOKENS_THAT_PAY <= self._tokens.total()
            if found is program:
                self._batches[key] = batch
                program.set_result(self._compiler.compile(batch))
        except BaseException as error:  # An interrupt may arrive at any time, and other threads must not wait forever.
            if not program.done():
                program.set_exception(error)
                with self._lock:
                    if self._made.get(key) is program:
                        del self._made[key]
            raise
        if pays:
            threading.Thread(target=self.upgrade, name="minilm-jax-upgrade").start()
        return found.result()

    @device_use()
    @enable_jit
    def upgrade(self) -> None:
        """Replace all programs by faster ones, if there are any; the results differ in the last digits only."""
        with self._lock:
            busiest_first = [key for key, _ in self._tokens.most_common() if key in self._made]
            made = {key: self._made[key].result() for key in busiest_first if self._made[key].done()}
        if not made:
            return
        with self._upgrading:
            new = self._compiler.upgrade([(self._batches[key], program) for key, program in made.items()])
        for key, program in zip(made, new or [], strict=bool(new)):
            self._made[key] = done = Future()
            done.set_result(program)
