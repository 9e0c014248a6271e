"""Quantization of vectors compared with levels computed by hand; `make test-peers` compares sentence-transformers."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.vectors.quantization import find_ranges, quantize_embeddings

VECTORS = np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32)
# The levels are 2 apart in the first dimension and 0.25 in the second; the third dimension is constant.
RANGES = np.array([[0, 0, 5], [510, 63.75, 5]], np.float32)


def test_int8_and_uint8_levels_are_those_computed_by_hand() -> None:
    vectors = np.array([[0, 0, 5], [510, 63.75, 5], [3.9, 0.5, 5], [-7, 99, 4]], np.float32)
    levels = np.array([[0, 0, 0], [255, 255, 0], [1, 2, 0], [0, 255, 0]])
    unsigned, signed = (quantize_embeddings(vectors, precision, RANGES) for precision in ("uint8", "int8"))
    np.testing.assert_array_equal(unsigned, levels)
    np.testing.assert_array_equal(signed, levels - 128)
    assert (unsigned.dtype, signed.dtype) == (np.uint8, np.int8)


def test_binary_and_ubinary_bits_are_those_computed_by_hand() -> None:
    vectors = np.array([[1, -1, 0, 2, 0.1, -0.1, 0, 0, 3]], np.float32)
    unsigned, signed = (quantize_embeddings(vectors, precision) for precision in ("ubinary", "binary"))
    np.testing.assert_array_equal(unsigned, [[0b10011000, 0b10000000]])
    np.testing.assert_array_equal(signed, [[0b10011000 - 128, 0]])
    assert (unsigned.dtype, signed.dtype) == (np.uint8, np.int8)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_ranges_come_from_the_vectors_or_the_calibration_embeddings(precision: Any) -> None:
    own = quantize_embeddings(VECTORS, precision)
    # The maximum can be rounded to one level below the highest.
    assert own.max(axis=0).min() >= np.iinfo(own.dtype).max - 1
    assert own.min(axis=0).tolist() == [np.iinfo(own.dtype).min] * 20
    np.testing.assert_array_equal(own, quantize_embeddings(VECTORS, precision, find_ranges(VECTORS)))
    others = quantize_embeddings(VECTORS[:7], precision, calibration_embeddings=VECTORS)
    np.testing.assert_array_equal(others, own[:7])


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_quantization_accepts_arrays_lists_and_empty_input(precision: Any) -> None:
    wanted = quantize_embeddings(VECTORS, precision)
    assert type(wanted) is np.ndarray
    for vectors in (jnp.asarray(VECTORS), list(VECTORS)):
        np.testing.assert_array_equal(quantize_embeddings(vectors, precision), wanted)
    matrices = quantize_embeddings(np.split(VECTORS, [3, 90]), precision)
    np.testing.assert_array_equal(np.concatenate(matrices), wanted)
    assert quantize_embeddings(VECTORS[:0], precision).shape == wanted[:0].shape
    assert quantize_embeddings(VECTORS[:0], precision).dtype == wanted.dtype


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_bfloat16_vectors_are_quantized_as_their_float32_values(precision: Any) -> None:
    rounded = jnp.asarray(VECTORS, jnp.bfloat16)
    wanted = quantize_embeddings(np.asarray(rounded, np.float32), precision)
    for vectors in (rounded, np.asarray(rounded), [*rounded]):
        np.testing.assert_array_equal(quantize_embeddings(vectors, precision), wanted)
    matrices = quantize_embeddings([rounded[:9], rounded[9:]], precision)
    np.testing.assert_array_equal(np.concatenate(matrices), wanted)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (np.ones(20), r"ranges have the shape \[20\]; pass \[2, 20\]"),
        (np.ones((2, 19)), r"\[2, 19\]; pass \[2, 20\]"),
        (np.ones((20, 2)), r"\[20, 2\]; pass \[2, 20\]"),
        ([[1] * 20, [0] * 20], "finite minima, at most the maxima"),
        ([[0] * 20, [np.nan] * 20], "finite minima, at most the maxima"),
    ],
)
def test_invalid_ranges_raise_error(ranges: Any, message: str) -> None:
    with pytest.raises(mj.InputError, match=message):
        quantize_embeddings(VECTORS, "int8", ranges)


def test_calibration_vectors_of_another_size_raise_error() -> None:
    with pytest.raises(mj.InputError, match=r"ranges have the shape \[2, 5\]"):
        quantize_embeddings(VECTORS, "int8", calibration_embeddings=VECTORS[:, :5])


@pytest.mark.parametrize("precision", ["int8", "ubinary"])
def test_nan_is_not_quantized(precision: Any) -> None:
    with pytest.raises(mj.InputError, match="embeddings contain NaN"):
        quantize_embeddings(VECTORS * np.float32(np.nan), precision)


def test_quantization_of_one_vector_needs_ranges() -> None:
    ranges = find_ranges(VECTORS)
    np.testing.assert_array_equal(
        quantize_embeddings(VECTORS[0], "int8", ranges), quantize_embeddings(VECTORS, "int8", ranges)[0]
    )
    for alone in (VECTORS[0], VECTORS[:1]):
        with pytest.raises(mj.InputError, match="output of one vector needs calibration"):
            quantize_embeddings(alone, "int8")


def test_quantization_warns_if_ranges_come_from_few_vectors() -> None:
    for vectors in (VECTORS[:99], [VECTORS[:50], VECTORS[50:99]]):
        with pytest.warns(UserWarning, match="come from only 99 vectors") as warned:
            quantize_embeddings(vectors, "uint8")
        assert warned[0].filename == __file__


def test_quantization_rejects_unknown_precisions_and_integers() -> None:
    with pytest.raises(mj.InputError, match=r"'int4'; it must be one of .* Did you mean 'int8'"):
        quantize_embeddings(VECTORS, "int4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(mj.InputError, match="embeddings are int8"):
        quantize_embeddings(VECTORS.astype(np.int8), "ubinary")
