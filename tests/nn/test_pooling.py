"""Pooling, compared with a loop over the tokens of each text; alone, left-padded, and in packed rows."""

import dataclasses
from collections.abc import Callable
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import minilm_jax as mj
from minilm_jax.config import PoolingMode
from minilm_jax.nn.pooling import pool
from tests.helpers.compiled import embed
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import UNIT_VECTORS

Vectors = NDArray[np.float32]
BY_LOOP: dict[str, Callable[[Vectors], Vectors]] = {
    "mean": lambda tokens: tokens.mean(axis=0),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.max(axis=0),
    "mean_sqrt_len": lambda tokens: tokens.sum(axis=0) / np.sqrt(len(tokens)),
    "weighted_mean": lambda tokens: np.average(tokens, axis=0, weights=np.arange(1, len(tokens) + 1)),
    "last_token": lambda tokens: tokens[-1],
}
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_pooling_equals_a_loop_over_the_texts(mode: PoolingMode) -> None:
    hidden = np.random.default_rng(0).normal(size=(5, 5, 7)).astype(np.float32)
    found = pool(jnp.asarray(hidden), jnp.asarray(MASK != 0), mode)
    wanted = [
        BY_LOOP[mode](row[mask != 0]) if mask.any() else np.zeros(7) for row, mask in zip(hidden, MASK, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)


@pytest.mark.parametrize("mode", get_args(PoolingMode))
@pytest.mark.parametrize("padding_idx", [None, 1])
def test_packed_text_equals_the_text_alone(mode: PoolingMode, padding_idx: int | None) -> None:
    config = dataclasses.replace(TINY, pooling=mode, padding_idx=padding_idx)
    params = random_params(config, 0)
    texts = [[5, 1, 9, 7], [1, 8], [3, 4, 5]]  # Texts may contain the padding id, which RoBERTa does not count.
    packed = mj.PackedBatch(np.array([[*texts[0], *texts[1], *texts[2], 0]]), np.array([[4, 2, 3, 0]]))
    together = embed(params, packed)[0]
    for text, vector in zip(texts, together, strict=False):
        padding = 4 - len(text)
        batch = mj.Batch(np.array([text + [0] * padding]), np.array([[1] * len(text) + [0] * padding]))
        alone = embed(params, batch)[0]
        np.testing.assert_allclose(vector, alone, rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_array_equal(together[3], np.zeros(TINY.hidden_size))


def test_several_modes_are_concatenated() -> None:
    params = random_params(dataclasses.replace(TINY, pooling="max+cls", normalize=False), 0)
    batch = mj.Batch(np.array([[5, 6, 7]]), np.ones((1, 3), np.int32))
    parts = [embed(params, batch, dataclasses.replace(params.config, pooling=mode)) for mode in ("max", "cls")]
    np.testing.assert_allclose(embed(params, batch), np.concatenate(parts, axis=1), rtol=0, atol=UNIT_VECTORS)
    assert params.config.embedding_size == 2 * TINY.hidden_size


def test_projections_are_differentiable_and_cast() -> None:
    projections = mj.Projection("dense", 5, "gelu"), mj.Projection("layer_norm", 5)
    params = random_params(dataclasses.replace(TINY, projections=projections), 0)
    batch = mj.Batch(np.array([[5, 6, 7]]), np.ones((1, 3), np.int32))
    gradient = jax.jit(jax.grad(lambda tree: mj.embed(tree, batch)[0, 0]))(params)
    assert np.abs(np.asarray(gradient["projections"]["0"]["dense"]["kernel"])).max() > 0
    for precision in ("bfloat16", "int8"):
        rounded = embed(mj.cast(params, precision), batch)
        assert np.asarray(rounded @ embed(params, batch).T).item() > 0.99
