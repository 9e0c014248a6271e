"""`CheckedProgram`: a program from disk, which its first call checks."""

import contextlib
import threading
from collections.abc import Callable

import jax

from minilm_jax.runtime.program_choice import Outputs, Program
from minilm_jax.tokens.packed_rows import AnyBatch


class CheckedProgram:
    """A program from disk; if its first call fails, another one is compiled in its place."""

    def __init__(self, program: Program, compile_: Callable[[], Program]) -> None:
        """Wrap a program.

        Args:
            program: The program. Some defects only appear when it runs.
            compile_: Function that compiles the same program.
        """
        self._program, self._compile = program, compile_
        self._lock = threading.Lock()
        self._is_checked = False

    def __call__(self, batch: AnyBatch) -> Outputs:
        """Compute a batch."""
        return self._program(batch) if self._is_checked else self._first_call(batch)

    def _first_call(self, batch: AnyBatch) -> Outputs:
        with contextlib.suppress(Exception):  # The error depends on the defect and on the version of XLA.
            outputs = jax.block_until_ready(self._program(batch))
            self._is_checked = True
            return outputs
        with self._lock:
            if not self._is_checked:
                self._program, self._is_checked = self._compile(), True
        return self._program(batch)
