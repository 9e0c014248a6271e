"""Vectors a chunk at a time, all chunks of one shape, so that memory and the number of programs stay bounded."""

from collections.abc import Iterator
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from minilm_jax.errors import InputError

Rows: TypeAlias = NDArray | Array

# Measured: on a CPU the rows should stay in its cache; an accelerator would wait for its next call.
_ROWS_AT_ONCE_ON_CPU, _ROWS_AT_ONCE = 4_096, 65_536


def as_rows(vectors: ArrayLike) -> Rows:
    """Returns vectors as [n, D]: on their accelerator if they are on one, else as a numpy array."""
    if not isinstance(vectors, Array) or all(device.platform == "cpu" for device in vectors.devices()):
        vectors = np.asarray(vectors)
    if vectors.size == 0:
        return np.empty((0, vectors.shape[-1]), np.float32)
    if vectors.ndim not in (1, 2) or not jnp.issubdtype(vectors.dtype, jnp.number):
        raise InputError(f"{vectors.dtype}{list(vectors.shape)} is no array of vectors; give numbers [n, D].")
    return vectors if vectors.ndim == 2 else vectors[None]


def chunks(vectors: Rows, size: int) -> Iterator[tuple[int, int, Rows]]:
    """Yields start, count and rows: always as many, the last filled up with zeros."""
    size = min(size, power_of_two(len(vectors)))  # Few vectors take few rows, and many numbers of them one program.
    for start in range(0, len(vectors), size):
        count = min(size, len(vectors) - start)
        rows = _slice(vectors, start, count)
        yield start, count, rows if count == size else _filled_up(rows, size)


def rows_at_once() -> int:
    """Returns how many rows of a corpus suit the device."""
    return _ROWS_AT_ONCE_ON_CPU if jax.default_backend() == "cpu" else _ROWS_AT_ONCE


def _slice(vectors: Rows, start: int, count: int) -> Rows:
    if isinstance(vectors, np.ndarray):
        return vectors[start : start + count]
    # A slice with fixed ends would be a program of its own for each of its places.
    return lax.dynamic_slice_in_dim(vectors, start, count)


def _filled_up(rows: Rows, size: int) -> Rows:
    pad = np.pad if isinstance(rows, np.ndarray) else jnp.pad
    return pad(rows, ((0, size - len(rows)), (0, 0)))


def power_of_two(number: int) -> int:
    """Returns the least power of two that is not below a number."""
    return 1 << max(number - 1, 0).bit_length()
