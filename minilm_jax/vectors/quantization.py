"""Quantization of sentence vectors: 256 levels per dimension (int8, uint8) or one bit per dimension (binary)."""

from collections.abc import Sequence
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from minilm_jax.config import OutputPrecision
from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.user_warnings import warn_user

# uint8 levels span [0, 255].
_MAX_LEVEL = 255
# With fewer vectors, the minimum and maximum of a dimension say little about its range.
_FEW_VECTORS = 100


def quantize_embeddings(
    embeddings: ArrayLike | Sequence[NDArray[Any]],
    precision: OutputPrecision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> Any:
    """Quantize vectors, by the formulas of sentence-transformers.

    "uint8" divides the range of each dimension into 256 levels. "ubinary" stores one bit per dimension, set where the
    value is positive, eight to a byte. "int8" and "binary" are the same minus 128.

    Args:
        embeddings: float[n, D] or [D], or a list of arrays [T, D], which share their ranges; also bfloat16.
        precision: "float32", "int8", "uint8", "binary" or "ubinary".
        ranges: [2, D], minimum and maximum of each dimension, for "int8" and "uint8".
        calibration_embeddings: [m, D], vectors to compute the ranges from if none are given; by default `embeddings`.

    Returns:
        A numpy array, or a list of them: float32, int8 or uint8 [n, D]; for binary precisions [n, ⌈D / 8⌉].

    Raises:
        InputError: The precision is unknown, the embeddings are integers or contain NaN, the ranges have another shape
            or a minimum above its maximum, or they would have to be computed from one vector.
    """
    check_output_precision(precision)
    if isinstance(embeddings, list | tuple) and embeddings and np.ndim(embeddings[0]) == 2:
        if ranges is None and precision in ("int8", "uint8"):
            own = np.concatenate([*map(_floats, embeddings)])
            ranges = find_ranges(own if calibration_embeddings is None else calibration_embeddings)
        return [quantize_embeddings(matrix, precision, ranges) for matrix in embeddings]
    vectors = _floats(embeddings)
    if precision == "float32":
        return vectors.astype(np.float32)
    if np.isnan(vectors).any():
        raise InputError("embeddings contain NaN, which cannot be rounded; token ids outside the vocabulary cause it.")
    if precision in ("binary", "ubinary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else _minus_128(bits)
    if vectors.size == 0:
        return vectors.astype(precision)
    if ranges is None:
        ranges = find_ranges(vectors if calibration_embeddings is None else calibration_embeddings)
    levels = _levels(vectors, _checked_ranges(ranges, vectors.shape[-1]))
    return levels if precision == "uint8" else _minus_128(levels)


def check_output_precision(precision: str) -> None:
    """Raise InputError if an output precision is unknown."""
    known = get_args(OutputPrecision)
    if precision not in known:
        raise InputError(
            f"precision is {precision!r}; it must be one of {', '.join(known)}.{did_you_mean(str(precision), known)}"
        )


def find_ranges(embeddings: ArrayLike) -> NDArray[np.floating]:
    """Return the minimum and maximum of each dimension, for `quantize_embeddings`.

    Args:
        embeddings: float[n, D], at least two vectors and preferably hundreds.

    Returns:
        float[2, D].

    Raises:
        InputError: There are fewer than two vectors, or they are integers.
    """
    vectors = _floats(embeddings)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise InputError(
            "int8 and uint8 output of one vector needs calibration; pass ranges, or calibration_embeddings of many"
            " texts."
        )
    if len(vectors) < _FEW_VECTORS:
        warn_user(
            f"the quantization ranges come from only {len(vectors)} vectors; pass ranges, or calibration_embeddings of"
            " hundreds of texts."
        )
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)])


def _floats(embeddings: Any) -> NDArray[np.floating]:
    """Return vectors as a numpy array; 16-bit types are widened, because numpy has no bfloat16."""
    vectors = np.asarray(embeddings)
    if not jnp.issubdtype(vectors.dtype, jnp.floating) or not vectors.ndim:
        raise InputError(
            f"embeddings are {vectors.dtype}{list(vectors.shape)}; only floating-point vectors [n, D] or [D] can be"
            " quantized."
        )
    return vectors if vectors.dtype in (np.float32, np.float64) else vectors.astype(np.float32)


def _checked_ranges(ranges: ArrayLike, size: int) -> NDArray[np.float32]:
    checked = np.asarray(ranges, np.float32)
    if checked.shape != (2, size):
        raise InputError(
            f"ranges have the shape {list(checked.shape)}; pass [2, {size}], the minimum and the maximum of each"
            " dimension."
        )
    if not np.isfinite(checked).all() or (checked[0] > checked[1]).any():
        raise InputError("ranges[0] must be finite minima, at most the maxima in ranges[1].")
    return checked


def _levels(vectors: NDArray[np.floating], ranges: NDArray[np.float32]) -> NDArray[np.uint8]:
    steps = (ranges[1] - ranges[0]) / _MAX_LEVEL
    levels = vectors - ranges[0]
    levels /= np.where(steps == 0, np.float32(1), steps)
    np.floor(levels, out=levels)
    return np.clip(levels, 0, _MAX_LEVEL, out=levels).astype(np.uint8)


def _minus_128(unsigned: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (unsigned ^ np.uint8(128)).view(np.int8)
