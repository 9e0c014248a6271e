"""Choice of the faster of two equivalent programs: their results are compared, then both are timed."""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from jax import Array

from minilm_jax.tokens.packed_rows import AnyBatch


class Outputs(NamedTuple):
    """Outputs of a program.

    Attributes:
        vectors: float[B, E] or [B, S, E], sentence vectors, logits, or sparse vectors.
        last_hidden_state: float32[B, T, D].
    """

    vectors: Array
    last_hidden_state: Array


Program: TypeAlias = Callable[[AnyBatch], Outputs]

# The tolerance is relative to the largest element. bfloat16 rounds to 2**-8; after six layers, the error of a unit
# vector is about a third of that.
_HALF_TOLERANCE = 2**-6
_TRIES = 5


def faster_program(trusted: Program, other: Program, batch: AnyBatch) -> Program:
    """Return the other program if it is faster on this batch and its result is equal within 16-bit precision."""
    expected, found = (np.asarray(program(batch).vectors, np.float32) for program in (trusted, other))
    if not np.allclose(found, expected, atol=_HALF_TOLERANCE * np.abs(expected).max()):
        return trusted
    return min(trusted, other, key=lambda program: _seconds(program, batch))


def _seconds(program: Program, batch: AnyBatch) -> float:
    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(program(batch))
        return time.perf_counter() - start

    return min(once() for _ in range(_TRIES))
