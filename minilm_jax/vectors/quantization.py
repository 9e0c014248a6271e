"""Finished vectors in fewer bits, to be stored and searched: int8 and uint8 levels, or one bit a dimension."""

import warnings
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minilm_jax.config import OutputPrecision
from minilm_jax.errors import InputError, did_you_mean

# Of a dimension, 0 to 255.
_LEVELS = 255
# Fewer vectors hardly show how far a dimension ranges.
_FEW = 100


def quantize_embeddings(
    embeddings: ArrayLike | Sequence[NDArray[Any]],
    precision: OutputPrecision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> Any:
    """Rounds vectors to fewer bits, by the formulas of sentence-transformers.

    "int8" and "uint8" divide each dimension's range into 256 steps; a value becomes the number of its step. "binary"
    and "ubinary" keep a bit a dimension, whether it is positive, eight to a byte. Signed forms are unsigned less 128.

    Args:
        embeddings: float[n, D] or [D], or a list of [T, D] arrays, which share their ranges.
        precision: Of the result.
        ranges: [2, D], the least and the greatest value of each dimension, for "int8" and "uint8".
        calibration_embeddings: [m, D], vectors to find the ranges in where none are given; by default embeddings.

    Returns:
        A numpy array, or a list of them: float32, int8 or uint8 [n, D], for binary forms [n, ⌈D / 8⌉].

    Raises:
        InputError: The precision is unknown, embeddings are integers already, or one vector is all there is to find
            ranges in.
    """
    check_output_precision(precision)
    if isinstance(embeddings, list) and embeddings and np.ndim(embeddings[0]) == 2:
        if ranges is None and precision in ("int8", "uint8"):
            ranges = find_ranges(
                np.concatenate(embeddings) if calibration_embeddings is None else calibration_embeddings
            )
        return [quantize_embeddings(matrix, precision, ranges) for matrix in embeddings]
    vectors = np.asarray(embeddings)
    if not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(f"embeddings are {vectors.dtype}; only floating-point vectors can be quantised.")
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision in ("binary", "ubinary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else _less_128(bits)
    if vectors.size == 0:
        return vectors.astype(precision)
    if ranges is None:
        ranges = find_ranges(vectors if calibration_embeddings is None else calibration_embeddings)
    levels = _levels(vectors, np.asarray(ranges, np.float32))
    return levels if precision == "uint8" else _less_128(levels)


def check_output_precision(precision: str) -> None:
    """Raises InputError where an output precision is unknown."""
    known = get_args(OutputPrecision)
    if precision not in known:
        raise InputError(
            f"precision is {precision!r}; it must be one of {', '.join(known)}.{did_you_mean(str(precision), known)}"
        )


def find_ranges(embeddings: ArrayLike) -> NDArray[np.floating]:
    """Returns the least and the greatest value of each dimension, for `quantize_embeddings`.

    Args:
        embeddings: float[n, D], at least two and better hundreds.

    Returns:
        float[2, D].

    Raises:
        InputError: There are fewer than two vectors.
    """
    vectors = np.asarray(embeddings)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise InputError("one vector has no ranges to round by; give ranges, or calibration_embeddings of many texts.")
    if len(vectors) < _FEW:
        warnings.warn(
            f"the ranges to round by are those of {len(vectors)} vectors; give ranges, or calibration_embeddings"
            " of hundreds.",
            stacklevel=3,
        )
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)])


def _levels(vectors: NDArray[np.floating], ranges: NDArray[np.float32]) -> NDArray[np.uint8]:
    steps = (ranges[1] - ranges[0]) / _LEVELS
    levels = vectors - ranges[0]
    levels /= np.where(steps == 0, np.float32(1), steps)
    np.floor(levels, out=levels)
    return np.clip(levels, 0, _LEVELS, out=levels).astype(np.uint8)


def _less_128(unsigned: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (unsigned ^ np.uint8(128)).view(np.int8)
