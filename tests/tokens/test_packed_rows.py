"""Packed rows: the ids of several texts in one row, and the same vectors as alone."""

import functools

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import PoolingMode
from minilm_jax.nn.params import Params
from minilm_jax.runtime.devices import _CPU_SHAPES
from minilm_jax.tokens.batch_plan import BatchPlanner
from minilm_jax.tokens.packed_rows import NO_TEXT, pack
from tests.helpers.tiny_model import TINY
from tests.helpers.token_ids import ragged
from tests.helpers.tolerances import TOKEN_VECTORS, UNIT_VECTORS


def test_pack_puts_the_ids_of_texts_one_after_the_other() -> None:
    batch = pack(ragged([2, 3, 1]), np.array([[2, 0], [1, NO_TEXT], [NO_TEXT, NO_TEXT]]), 4)
    np.testing.assert_array_equal(batch.input_ids, [[201, 1, 2, 0], [101, 102, 103, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(batch.lengths, [[1, 2], [3, 0], [0, 0]])
    assert batch.input_ids.dtype == batch.lengths.dtype == np.int32


def packed_vectors(params: Params, config: mj.EncoderConfig, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of random texts, computed in packed rows and with one text per row."""
    tokens = ragged(lengths)
    tokens.ids[:] = np.random.default_rng(0).integers(config.vocab_size, size=len(tokens.ids))
    embed = jax.jit(functools.partial(mj.embed, config=config))
    packed = np.empty((len(lengths), config.hidden_size), np.float32)
    for texts, row_length in BatchPlanner(_CPU_SHAPES).plan(tokens.lengths, 64, batch_size=5):
        packed[texts[texts >= 0]] = np.asarray(embed(params, pack(tokens, texts, row_length)))[texts >= 0]
    return packed, np.asarray(embed(params, tokens.pad(np.arange(len(lengths)), (len(lengths), max(lengths)))))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_packed_text_has_the_same_vector_as_alone(tiny_params: Params, pooling: PoolingMode, normalize: bool) -> None:
    config = mj.EncoderConfig.from_dict({**TINY.to_dict(), "pooling": pooling, "normalize": normalize})
    packed, alone = packed_vectors(tiny_params, config, [1, 16, 5, 9, 2, 16, 16, 3, 11, 1])
    np.testing.assert_allclose(packed, alone, rtol=0, atol=UNIT_VECTORS if normalize else TOKEN_VECTORS)


def test_packed_row_without_texts_gives_zeros_and_finite_gradients(tiny_params: Params) -> None:
    batch = mj.PackedBatch(np.zeros((2, 8), np.uint16), np.array([[0, 0], [3, 2]], np.uint16))

    def total(params: Params) -> jax.Array:
        return mj.embed(params, batch, TINY).sum()

    vectors = np.asarray(jax.jit(mj.embed)(tiny_params, batch, TINY))
    assert vectors.shape == (2, 2, TINY.hidden_size)
    np.testing.assert_array_equal(vectors[0], 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(tiny_params)))


def test_encode_of_packed_rows_has_no_pooler_output(tiny_params: Params) -> None:
    batch = mj.PackedBatch(np.zeros((1, 8), np.int32), np.array([[3, 2]]))
    output = mj.encode(tiny_params, batch, TINY)
    assert output.last_hidden_state.shape == (1, 8, TINY.hidden_size)
    assert output.pooler_output is None
