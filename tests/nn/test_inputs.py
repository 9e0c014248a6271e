"""Unusual inputs of `embed` and of an engine: ids outside the tables, empty batches, and shapes that do not fit."""

import dataclasses

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.nn.params import Params
from minilm_jax.runtime.engine import Engine
from minilm_jax.tokens.packed_rows import AnyBatch
from tests.helpers.compiled import embed
from tests.helpers.tiny_model import TINY, random_params


@pytest.fixture(scope="module", params=["float32", "int8"])
def engine(request: pytest.FixtureRequest, tiny_params: Params) -> tuple[Params, Engine]:
    """Params in a precision, and an engine that computes with them."""
    params = mj.cast(tiny_params, request.param)
    return params, Engine(params, TINY)


@pytest.fixture(scope="module")
def float32_engine(tiny_params: Params) -> Engine:
    """Engine that computes in float32."""
    return Engine(tiny_params, TINY)


@pytest.mark.parametrize(
    ("id", "dtype"),
    [
        (TINY.vocab_size, np.int32),
        (-1, np.int32),
        (-TINY.vocab_size, np.int64),
        (-1, np.int8),
        (200, np.uint8),
        (2**32 - 1, np.uint32),
        # Truncated to 32 bits, these would be ids of the vocabulary.
        (2**32 + 3, np.int64),
        (3 - 2**32, np.int64),
        (2**32 + 3, np.uint64),
    ],
)
def test_token_id_outside_the_vocabulary_gives_nan(
    float32_engine: Engine, tiny_params: Params, id: int, dtype: type[np.integer]
) -> None:
    check_nan_for_id(tiny_params, float32_engine, id, dtype)


def test_token_id_outside_the_vocabulary_gives_nan_in_int8(tiny_params: Params) -> None:
    params = mj.cast(tiny_params, "int8")
    check_nan_for_id(params, Engine(params, TINY), TINY.vocab_size, np.int32)


def check_nan_for_id(params: Params, compiled: Engine, id: int, dtype: type[np.integer]) -> None:
    ids = np.array([[1, 2], [1, id]], dtype)
    for batch in (mj.Batch(ids, np.ones((2, 2), np.int32)), mj.PackedBatch(ids, np.array([[2], [2]], np.int32))):
        for found in (mj.embed(params, batch), *compiled.embed_batches([batch])):
            vectors = np.asarray(found).reshape(2, -1)
            assert np.isfinite(vectors[0]).all()
            assert np.isnan(vectors[1]).all()


@pytest.mark.parametrize("token_type", [-1, TINY.type_vocab_size, 2**32])
def test_unknown_token_type_gives_nan(float32_engine: Engine, tiny_params: Params, token_type: int) -> None:
    batch = mj.Batch(np.ones((2, 2), int), np.ones((2, 2), int), np.array([[0, 1], [0, token_type]]))
    for found in (mj.embed(tiny_params, batch), *float32_engine.embed_batches([batch])):
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()


def test_padding_id_of_roberta_may_exceed_small_dtypes() -> None:
    config = dataclasses.replace(TINY, vocab_size=400, padding_idx=300, max_position_embeddings=317)
    params, ids, mask = random_params(config, 0), np.array([[1, 2, 3]]), np.ones((1, 3), int)
    wanted = embed(params, mj.Batch(ids, mask))
    np.testing.assert_array_equal(embed(params, mj.Batch(ids.astype(np.uint8), mask)), wanted)


@pytest.mark.parametrize("form", ["batch", "packed"])
def test_batch_without_rows_gives_no_vectors(engine: tuple[Params, Engine], form: str) -> None:
    params, compiled = engine
    ids = np.zeros((0, 8), np.int32)
    batch = mj.Batch(ids, ids) if form == "batch" else mj.PackedBatch(ids, np.zeros((0, 3), np.int32))
    shape = (0, TINY.hidden_size) if form == "batch" else (0, 3, TINY.hidden_size)
    assert mj.encode(params, batch).last_hidden_state.shape == (0, 8, TINY.hidden_size)
    for found in (mj.embed(params, batch), *compiled.embed_batches([batch])):
        assert found.shape == shape


@pytest.mark.parametrize("rows", [0, 2])
def test_row_without_tokens_raises_error(engine: tuple[Params, Engine], rows: int) -> None:
    params, compiled = engine
    ids = np.zeros((rows, 0), np.int32)
    for batch in (mj.Batch(ids, ids), mj.PackedBatch(ids, np.zeros((rows, 3), np.int32))):
        for use in (lambda b: mj.embed(params, b), lambda b: list(compiled.embed_batches([b]))):
            with pytest.raises(mj.InputError, match="at least one token per row"):
                use(batch)


def test_ids_that_are_not_integers_raise_error(engine: tuple[Params, Engine]) -> None:
    params, compiled = engine
    batch = mj.Batch(np.ones((1, 2)), np.ones((1, 2)))
    for use in (lambda: mj.embed(params, batch), lambda: list(compiled.embed_batches([batch]))):
        with pytest.raises(mj.InputError, match="input_ids has the dtype float"):
            use()


@pytest.mark.parametrize("lengths", [[3, 2], [3, -1]])
def test_packed_texts_that_do_not_fit_their_row_raise_error(engine: tuple[Params, Engine], lengths: list[int]) -> None:
    params, compiled = engine
    batch = mj.PackedBatch(np.ones((2, 4), np.int32), np.array([[2, 2], lengths]))
    for use in (lambda: mj.embed(params, batch), lambda: list(compiled.embed_batches([batch]))):
        with pytest.raises(mj.InputError, match="the lengths of row 1 are"):
            use()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (mj.Batch(np.zeros(3, np.int32), np.ones(3, np.int32)), r"input_ids has shape \(3,\)"),
        (mj.Batch(np.zeros((1, 3), np.int32), np.ones((1, 4), np.int32)), "attention_mask has shape"),
        (mj.Batch(np.zeros((1, 17), np.int32), np.ones((1, 17), np.int32)), "17 tokens per row, but the model has 16"),
        (mj.PackedBatch(np.zeros((2, 17), np.int32), np.ones(2, np.int32)), r"lengths \(2,\); they must be \[B, T\]"),
    ],
)
def test_invalid_shapes_raise_error(tiny_params: Params, batch: AnyBatch, message: str) -> None:
    with pytest.raises(mj.InputError, match=message):
        jax.jit(mj.embed)(tiny_params, batch, TINY)
