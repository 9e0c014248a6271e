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


def test_quantization_of_one_vector_needs_ranges() -> None:
    ranges = find_ranges(VECTORS)
    np.testing.assert_array_equal(
        quantize_embeddings(VECTORS[0], "int8", ranges), quantize_embeddings(VECTORS, "int8", ranges)[0]
    )
    for alone in (VECTORS[0], VECTORS[:1]):
        with pytest.raises(mj.InputError, match="output of one vector needs calibration"):
            quantize_embeddings(alone, "int8")


def test_quantization_warns_if_ranges_come_from_few_vectors() -> None:
    with pytest.warns(UserWarning, match="come from only 99 vectors"):
        quantize_embeddings(VECTORS[:99], "uint8")


def test_quantization_rejects_unknown_precisions_and_integers() -> None:
    with pytest.raises(mj.InputError, match=r"'int4'; it must be one of .* Did you mean 'int8'"):
        quantize_embeddings(VECTORS, "int4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(mj.InputError, match="embeddings are int8"):
        quantize_embeddings(VECTORS.astype(np.int8), "ubinary")
