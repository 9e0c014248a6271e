"""Dequantize weights to float32, as the ONNX and com.microsoft operators define it.

Every function checks sizes before it allocates, so that a small file cannot ask for much memory.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import ConversionError

# These are the 4-bit float tables of bitsandbytes. NF4 has quantiles of a normal distribution (arXiv:2305.14314,
# appendix E).
_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_FP4 = tuple(sign * size for sign in (1, -1) for size in (0, 0.0052083333, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4))
_BNB4_TABLES = {0: _FP4, 1: _NF4}

Array = NDArray[Any]


def linear(
    values: Array, scale: Array, zero_point: Array | None = None, *, axis: int = -1, block_size: int = 0
) -> NDArray[np.float32]:
    """Return (values - zero_point) · scale, as DequantizeLinear computes it.

    Args:
        values: Integers of 8 bits or fewer, or of 32 bits for a bias.
        scale: One scale for all values, one per index of `axis`, or one per block along it.
        zero_point: Zero points in the shape of `scale`; zeros if None.
        axis: The axis along which the scales differ.
        block_size: Number of values along `axis` with the same scale; 0 for one scale per index.

    Returns:
        float32 in the shape of `values`.

    Raises:
        ConversionError: The shapes do not match.
    """
    result = values.astype(np.float32)
    if zero_point is not None:
        result -= _broadcast(zero_point.astype(np.float32), values, axis, block_size)
    result *= _broadcast(scale.astype(np.float32), values, axis, block_size)
    return result


def quantize_linear(values: Array, scale: Array, zero_point: Array | None, *, axis: int) -> Array:
    """Return round(values / scale) + zero_point, clipped to the integer type, as QuantizeLinear computes it."""
    zero = np.zeros_like(scale, np.uint8) if zero_point is None else zero_point
    bounds = np.iinfo(zero.dtype)
    rounded = np.rint(values / _broadcast(scale, values, axis, 0)) + _broadcast(zero, values, axis, 0)
    return np.clip(rounded, bounds.min, bounds.max).astype(zero.dtype)


def n_bits(
    packed: Array, scale: Array, zero_point: Array | None, *, rows: int, columns: int, bits: int, block_size: int
) -> NDArray[np.float32]:
    """Dequantize the weight of MatMulNBits, whose rows are quantized in blocks.

    Args:
        packed: uint8[rows, blocks, block_size · bits / 8], lowest bits first.
        scale: float[rows · blocks].
        zero_point: Stored like `packed`, row by row, or as floats; 2^(bits-1) everywhere if None.
        rows: Output features, N.
        columns: Input features, K.
        bits: 2, 4 or 8.
        block_size: Number of columns with the same scale.

    Returns:
        float32[columns, rows].

    Raises:
        ConversionError: The sizes do not match.
    """
    _check(bits in (2, 4, 8) and block_size >= 8 and rows > 0 and columns > 0, "bits and block size")
    blocks = -(-columns // block_size)
    _check(packed.dtype == np.uint8 and packed.size == rows * blocks * block_size * bits // 8, "bytes")
    _check(scale.size == rows * blocks, "scales")
    values = _unpacked(packed.reshape(rows, -1), bits).reshape(rows, blocks, block_size)
    zeros = _zero_points(zero_point, rows, blocks, bits)
    weight = (values.astype(np.float32) - zeros) * scale.reshape(rows, blocks, 1).astype(np.float32)
    return np.ascontiguousarray(weight.reshape(rows, -1)[:, :columns].T)


def bnb4(
    packed: Array, absmax: Array, *, rows: int, columns: int, block_size: int, quant_type: int
) -> NDArray[np.float32]:
    """Dequantize the weight of MatMulBnb4: 4-bit indices into a table of floats, times the scale of their block.

    Args:
        packed: uint8[rows · columns / 2], the first value in the high bits.
        absmax: float[rows · columns / block_size].
        rows: Output features, N.
        columns: Input features, K.
        block_size: Number of values with the same scale; a block may continue in the next row.
        quant_type: 0 for FP4, 1 for NF4.

    Returns:
        float32[columns, rows].

    Raises:
        ConversionError: The sizes do not match.
    """
    _check(rows > 0 and columns > 0 and block_size > 0 and quant_type in _BNB4_TABLES, "sizes")
    count = rows * columns
    _check(packed.dtype == np.uint8 and packed.size == -(-count // 2), "bytes")
    _check(absmax.size == -(-count // block_size), "scales")
    table = np.array(_BNB4_TABLES[quant_type], np.float32)
    bytes_ = packed.reshape(-1)
    values = table[np.stack([bytes_ >> 4, bytes_ & 15], axis=-1).reshape(-1)[:count]]
    scales = absmax.reshape(-1).astype(np.float32)[np.arange(count) // block_size]
    return np.ascontiguousarray((values * scales).reshape(rows, columns).T)


def rows_in_blocks(
    values: Array, scale: Array, zero_point: Array | None, *, bits: int, block_size: int
) -> NDArray[np.float32]:
    """Dequantize the table of GatherBlockQuantized, whose rows are quantized in blocks.

    Args:
        values: 4-bit integers [V, D], or uint8[V, D · bits / 8], lowest bits first.
        scale: float[V, D / block_size].
        zero_point: Zero points in the type of `values`; if None, 2^(bits-1) for uint8 and 0 for other types.
        bits: 4 or 8.
        block_size: Number of values with the same scale.

    Returns:
        float32[V, D].

    Raises:
        ConversionError: The sizes do not match.
    """
    if values.dtype != np.uint8:
        return linear(values, scale, zero_point, axis=-1, block_size=block_size)
    _check(bits in (2, 4, 8) and values.ndim == 2 and scale.ndim == 2, "axes")
    rows, blocks = scale.shape
    zeros = _zero_points(zero_point, rows, blocks, bits)[..., 0]
    unpacked = _unpacked(values, bits).astype(np.float32)
    return (unpacked - _broadcast(zeros, unpacked, -1, block_size)) * _broadcast(
        scale.astype(np.float32), unpacked, -1, block_size
    )


def _unpacked(packed: Array, bits: int) -> Array:
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((packed[..., None] >> shifts) & np.uint8(2**bits - 1)).reshape(len(packed), -1)


def _zero_points(zero_point: Array | None, rows: int, blocks: int, bits: int) -> NDArray[np.float32]:
    if zero_point is None:
        return np.full((rows, blocks, 1), 2 ** (bits - 1), np.float32)
    if zero_point.dtype == np.uint8:
        _check(zero_point.size == rows * -(-blocks * bits // 8), "zero points")
        zero_point = _unpacked(zero_point.reshape(rows, -1), bits)[:, :blocks]
    _check(zero_point.size == rows * blocks, "zero points")
    return zero_point.reshape(rows, blocks, 1).astype(np.float32)


def _broadcast(scale: Array, values: Array, axis: int, block_size: int) -> Array:
    """Return the scales in a shape that broadcasts against the values."""
    if scale.size == 1:
        return scale.reshape(())
    _check(values.ndim > 0 and -values.ndim <= axis < values.ndim, "axes")
    length = values.shape[axis]
    if block_size:
        _check(scale.ndim == values.ndim and block_size > 0 and scale.shape[axis] == -(-length // block_size), "blocks")
        index = np.arange(length) // block_size
        return np.take(scale, index, axis=axis)
    _check(scale.size == length, "scales")
    return scale.reshape([length if i == axis % values.ndim else 1 for i in range(values.ndim)])


def _check(matches: bool, part: str) -> None:
    if not matches:
        raise ConversionError(f"the {part} of a quantized weight do not match its other sizes.")
