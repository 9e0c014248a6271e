"""Meshes with automatic, explicit and manual axes: every placement of params and batches gives the same vectors."""

import itertools
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn.params import Params
from tests.helpers.compiled import embed, encode
from tests.helpers.tolerances import UNIT_VECTORS

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit
IDS = np.arange(48, dtype=np.int32).reshape(8, 6)
BATCHES = {
    "padded": mj.Batch(IDS, np.ones((8, 6), np.int32)),
    "packed": mj.PackedBatch(IDS, np.tile(np.array([[2, 0, 3]], np.int32), (8, 1))),
}


def mesh_of(*types: AxisType) -> Mesh:
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=types, devices=jax.devices()[:4])


def split_kernels(params: Params, mesh: Mesh) -> Params:
    """Split every matrix over the model axis, along a dimension that divides evenly."""

    def put(leaf: Any) -> jax.Array:
        axes = {2: (None, "model"), 1: ("model",)}[leaf.ndim]
        return jax.device_put(leaf, NamedSharding(mesh, P(*axes)))

    return jax.tree.map(put, params)


@pytest.mark.parametrize("types", [(AUTO, AUTO), (EXPLICIT, EXPLICIT), (AUTO, EXPLICIT)], ids=str)
@pytest.mark.parametrize(("batch", "place"), [("padded", "data"), ("padded", None), ("packed", "data")])
def test_split_kernels_give_the_same_vectors(
    tiny_params: Params, types: tuple[AxisType, AxisType], batch: str, place: str | None
) -> None:
    mesh, rows = mesh_of(*types), BATCHES[batch]
    split = jax.device_put(rows, NamedSharding(mesh, P(place))) if place else rows
    found = encode(split_kernels(tiny_params, mesh), split)
    wanted = encode(tiny_params, rows)
    np.testing.assert_allclose(found.last_hidden_state, wanted.last_hidden_state, rtol=0, atol=10 * UNIT_VECTORS)
    if wanted.pooler_output is not None:
        np.testing.assert_allclose(found.pooler_output, wanted.pooler_output, rtol=0, atol=10 * UNIT_VECTORS)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_rows_of_an_explicit_mesh_stay_split(tiny_params: Params, precision: Precision) -> None:
    mesh, params = mesh_of(EXPLICIT, EXPLICIT), mj.cast(tiny_params, precision)
    split = jax.device_put(BATCHES["padded"], NamedSharding(mesh, P("data")))
    found = mj.embed(split_kernels(params, mesh), split)
    assert jax.typeof(found).sharding.spec[0] == "data"
    np.testing.assert_allclose(found, embed(params, BATCHES["padded"]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("types", "axes", "compiled"),
    [
        *itertools.product([(AUTO, AUTO), (EXPLICIT, EXPLICIT)], [("data",), ("data", "model")], [True]),
        ((AUTO, AUTO), ("data",), False),
        ((EXPLICIT, EXPLICIT), ("data", "model"), False),
    ],
    ids=str,
)
def test_shard_map_over_some_axes_gives_the_same_vectors(
    tiny_params: Params, types: tuple[AxisType, AxisType], axes: tuple[str, ...], compiled: bool
) -> None:
    mesh, params = mesh_of(*types), jax.device_get(tiny_params)
    split = jax.device_put(BATCHES["padded"], NamedSharding(mesh, P("data")))
    sharded = jax.shard_map(mj.embed, mesh=mesh, axis_names={*axes}, in_specs=(P(), P("data")), out_specs=P("data"))
    wanted = embed(tiny_params, BATCHES["padded"])
    found = (jax.jit(sharded) if compiled else sharded)(params, split)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)
