"""`classify` and `embed_sparse` on several devices and under vmap give the results of one device."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import minilm_jax as mj
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import TOKEN_VECTORS

LENGTHS = np.tile(np.array([[2, 0, 3]], np.int32), (8, 1))
IDS = np.arange(48, dtype=np.int32).reshape(8, 6)
TYPES = (np.arange(6) >= 3).astype(np.int32) * np.ones((8, 1), np.int32)
BATCHES = {
    "padded": mj.Batch(IDS, np.ones((8, 6), np.int32), TYPES),
    "packed": mj.PackedBatch(IDS, LENGTHS, LENGTHS // 2),
}
HEADS = {
    "classify": (mj.classify, dataclasses.replace(TINY, classifier=mj.Classifier(("a", "b", "c")))),
    "embed_sparse": (mj.embed_sparse, dataclasses.replace(TINY, sparse_head=mj.SparseHead())),
}


@pytest.mark.parametrize("types", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("head", HEADS)
def test_rows_on_four_devices_give_equal_results(head: str, batch: str, types: AxisType) -> None:
    function, config = HEADS[head]
    params, rows = random_params(config, seed=2), BATCHES[batch]
    mesh = jax.make_mesh((4,), ("data",), axis_types=(types,), devices=jax.devices()[:4])
    split = jax.device_put(rows, NamedSharding(mesh, P("data")))
    found = jax.jit(function)(jax.device_put(params, NamedSharding(mesh, P())), split)
    assert found.sharding.spec[0] == "data"
    np.testing.assert_allclose(found, jax.jit(function)(params, rows), rtol=0, atol=TOKEN_VECTORS)


@pytest.mark.parametrize("head", HEADS)
def test_vmap_over_batches_gives_equal_results(head: str) -> None:
    function: Callable[..., Any] = HEADS[head][0]
    params, rows = random_params(HEADS[head][1], seed=2), BATCHES["padded"]
    halves = jax.tree.map(lambda x: x.reshape(2, 4, 6), rows)
    found = jax.vmap(lambda batch: function(params, batch))(halves)
    np.testing.assert_allclose(found.reshape(8, -1), function(params, rows), rtol=0, atol=TOKEN_VECTORS)
