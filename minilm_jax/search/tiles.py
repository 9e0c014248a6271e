"""Tiles: blocks of rows of one fixed shape, which bound the memory and the number of compiled programs of a search."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from minilm_jax.errors import InputError
from minilm_jax.forks import check_not_forked
from minilm_jax.nn.settings import default_platform

Rows: TypeAlias = NDArray | Array

# Measurements show that a tile must fit into the cache of a CPU to be fast; an accelerator would be idle between small
# tiles.
_ROWS_PER_TILE_ON_CPU, _ROWS_PER_TILE = 4_096, 65_536


class Tile(NamedTuple):
    """Consecutive rows of an array of vectors, padded with zeros to the size of all tiles.

    Attributes:
        start: Index of the first row in the array.
        valid: Number of rows that are not padding.
        rows: [size, D].
    """

    start: int
    valid: int
    rows: Rows


def as_rows(vectors: ArrayLike) -> Rows:
    """Return vectors as [n, D]: a jax array if they are on an accelerator, else a numpy array.

    Args:
        vectors: Numbers [n, D], or one vector [D].

    Raises:
        InputError: The array has another number of axes, or does not hold numbers.
    """
    check_not_forked()
    if not isinstance(vectors, Array) or all(device.platform == "cpu" for device in vectors.devices()):
        vectors = _as_array(vectors)
    if vectors.size == 0:
        return np.empty((0, vectors.shape[-1]), np.float32)
    if vectors.ndim not in (1, 2) or not jnp.issubdtype(vectors.dtype, jnp.number):
        raise InputError(f"{vectors.dtype}{list(vectors.shape)} is not an array of vectors; pass numbers [n, D].")
    return vectors if vectors.ndim == 2 else vectors[None]


def _as_array(vectors: ArrayLike) -> NDArray:
    try:
        return np.asarray(vectors)
    except ValueError:
        raise InputError("the vectors have different sizes; pass numbers [n, D].") from None


def tiles(vectors: Rows, size: int) -> Iterator[Tile]:
    """Split rows into tiles of one size, at most `size` rows each."""
    # For few rows, the size is a power of two, so that inputs with similar numbers of rows share one program.
    size = min(size, next_power_of_two(len(vectors)))
    for start in range(0, len(vectors), size):
        valid = min(size, len(vectors) - start)
        rows = _slice(vectors, start, valid)
        yield Tile(start, valid, rows if valid == size else _pad(rows, size))


def concatenate_for_search(parts: Sequence[NDArray[np.float32]]) -> Rows:
    """Copy vectors, float32[n, D], to one read-only array [sum of n, D] in the memory that searches read fastest."""
    if default_platform() != "cpu":
        return jnp.asarray(np.concatenate(parts))
    # NumPy's memory has large pages where the system allows it: one query is up to twice as fast as with a jax array.
    # XLA, which computes many queries, reads it in place if it starts at a multiple of 64 bytes.
    shape = sum(map(len, parts)), parts[0].shape[1]
    memory = np.empty(math.prod(shape) + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    vectors = np.concatenate(parts, out=memory[start : start + math.prod(shape)].reshape(shape))
    vectors.flags.writeable = False
    return vectors


def rows_per_tile() -> int:
    """Return the number of corpus rows per tile that is fast on the default device."""
    return _ROWS_PER_TILE_ON_CPU if default_platform() == "cpu" else _ROWS_PER_TILE


def next_power_of_two(number: int) -> int:
    """Return the smallest power of two that is at least `number`."""
    return 1 << max(number - 1, 0).bit_length()


def _slice(vectors: Rows, start: int, count: int) -> Rows:
    if isinstance(vectors, np.ndarray):
        return vectors[start : start + count]
    # A slice with constant bounds would compile a new program for every start.
    return lax.dynamic_slice_in_dim(vectors, start, count)


def _pad(rows: Rows, size: int) -> Rows:
    pad = np.pad if isinstance(rows, np.ndarray) else jnp.pad
    return pad(rows, ((0, size - len(rows)), (0, 0)))
