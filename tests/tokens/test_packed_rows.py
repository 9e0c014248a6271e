"""Packed rows: every text in exactly one row, little padding, and the same vectors as alone."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, strategies as st

import minilm_jax as mj
from minilm_jax.config import PoolingMode
from minilm_jax.nn.params import Params
from minilm_jax.tokens.packed_rows import ROW_LENGTH, pack
from tests.helpers.tiny_model import TINY
from tests.helpers.token_ids import ragged
from tests.helpers.tolerances import TOKEN_VECTORS, UNIT_VECTORS

BUDGET = 4_096


@given(st.lists(st.integers(1, 512), max_size=300))
def test_pack_puts_every_text_in_exactly_one_row(lengths: list[int]) -> None:
    tokens, seen = ragged(lengths), []
    for batch, texts in pack(tokens, BUDGET):
        assert batch.input_ids.size <= BUDGET
        np.testing.assert_array_equal(batch.lengths, np.where(texts < 0, 0, tokens.lengths[texts]))
        for ids, row in zip(batch.input_ids, texts, strict=True):
            whole = tokens.of(row[row >= 0])
            np.testing.assert_array_equal(ids[: len(whole)], whole)
            assert not ids[len(whole) :].any()
        seen.extend(texts[texts >= 0].tolist())
    assert sorted(seen) == list(range(len(lengths)))


@pytest.mark.parametrize("longest", [16, 100, 250, 512])
def test_pack_adds_less_than_one_percent_padding(longest: int) -> None:
    lengths = np.random.default_rng(0).integers(3, longest + 1, 20_000).astype(np.int32)
    computed = sum(batch.input_ids.size for batch, _ in pack(ragged(lengths.tolist()), 16_384))
    # For each of the two maximum numbers of texts per row, the last batch may be half empty.
    assert computed < 1.01 * lengths.sum() + 16_384


def test_pack_uses_at_most_24_shapes() -> None:
    random, shapes = np.random.default_rng(0), set()
    for count in random.integers(1, 3_000, 60):
        lengths = random.integers(2, random.choice([10, 40, 200, 513]), count).tolist()
        shapes |= {(b.input_ids.shape, b.lengths.shape) for b, _ in pack(ragged(lengths), BUDGET)}
    # Three row lengths, two maximum numbers of texts per row, and four numbers of rows.
    assert len(shapes) <= 3 * 2 * 4
    assert {shape[1] for shape, _ in shapes} == {ROW_LENGTH, 2 * ROW_LENGTH, 4 * ROW_LENGTH}


def packed_vectors(params: Params, config: mj.EncoderConfig, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of random texts, computed in packed rows and with one text per row."""
    tokens = ragged(lengths)
    tokens.ids[:] = np.random.default_rng(0).integers(config.vocab_size, size=len(tokens.ids))
    embed = jax.jit(functools.partial(mj.embed, config=config))
    packed = np.empty((len(lengths), config.hidden_size), np.float32)
    for batch, texts in pack(tokens, 256):
        packed[texts[texts >= 0]] = np.asarray(embed(params, batch))[texts >= 0]
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
