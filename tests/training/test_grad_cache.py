"""Chunks change neither values nor gradients of a loss, and bound the memory of its activations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from minilm_jax.errors import InputError
from minilm_jax.training.grad_cache import in_chunks
from minilm_jax.training.losses import multiple_negatives_ranking
from tests.helpers.tolerances import REORDERED_LOSSES

ROWS, WIDTH, HIDDEN = 32, 16, 64


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    shapes = {"up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    return {name: jnp.asarray(rng.normal(0, 0.3, shape), jnp.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(1)
    return [{"x": jnp.asarray(rng.standard_normal((ROWS, WIDTH)), jnp.float32)} for _ in range(2)]


def embed(params, rows, key, layers=2):
    """A small network with dropout if there is a key."""
    x = rows["x"]
    for _ in range(layers):
        hidden = jnp.tanh(x @ params["up"])
        if key is not None:
            hidden = jnp.where(jax.random.bernoulli(key, 0.9, hidden.shape), hidden, 0.0)
        x = x + hidden @ params["down"]
    return x


def loss_of(embed, key=None):
    def loss(params, columns):
        return multiple_negatives_ranking([embed(params, rows, key) for rows in columns])

    return jax.jit(jax.value_and_grad(loss))


def assert_equal(found, expected):
    jax.tree.map(partial(np.testing.assert_allclose, atol=REORDERED_LOSSES, rtol=REORDERED_LOSSES), found, expected)


@pytest.mark.parametrize("chunk", [1, 8, ROWS])
def test_chunks_give_equal_loss_and_gradients(chunk, params, columns):
    assert_equal(loss_of(in_chunks(embed, chunk))(params, columns), loss_of(embed)(params, columns))


def test_each_chunk_has_its_own_dropout_mask_in_both_passes(params, columns):
    count, key = 4, jax.random.key(0)

    def one_after_the_other(params, rows, key):
        parts = [embed(params, {"x": rows["x"][i::count]}, own) for i, own in enumerate(jax.random.split(key, count))]
        return jnp.stack(parts, axis=1).reshape(ROWS, WIDTH)

    found = loss_of(in_chunks(embed, ROWS // count), key)(params, columns)
    assert_equal(found, loss_of(one_after_the_other, key)(params, columns))
    assert abs(found[0] - loss_of(in_chunks(embed, ROWS // count))(params, columns)[0]) > REORDERED_LOSSES


def temporary_bytes(rows, chunk, params):
    deep = partial(embed, layers=8)
    deep = deep if chunk is None else in_chunks(deep, chunk)
    columns = [{"x": jax.ShapeDtypeStruct((rows, WIDTH), jnp.float32)} for _ in range(2)]
    # A loss without a matrix of all pairs, because memory for that matrix is not what chunks bound.
    loss = jax.jit(jax.grad(lambda params, columns: sum(jnp.sum(deep(params, rows, None) ** 2) for rows in columns)))
    memory = loss.lower(params, columns).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


def test_memory_of_activations_grows_with_the_chunk_and_not_with_the_batch(params):
    rows, chunk = 4_096, 64
    bounded, unbounded = temporary_bytes(rows, chunk, params), temporary_bytes(rows, None, params)
    activations = 8 * HIDDEN * 4  # bytes per row of one column: the hidden layer of each of 8 layers, in float32
    assert unbounded > rows * activations
    vectors = 2 * rows * WIDTH * 4
    assert bounded < 4 * vectors + 4 * chunk * activations
    assert bounded < unbounded / 8


@pytest.mark.parametrize("devices", [2, 8])
def test_chunks_of_a_batch_on_a_mesh_give_equal_results(devices, params, columns):
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    split = jax.device_put(columns, NamedSharding(mesh, PartitionSpec("data")))
    whole = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    assert_equal(loss_of(in_chunks(embed, 8))(whole, split), loss_of(embed)(params, columns))


def test_chunks_on_a_mesh_need_no_exchange_of_rows(params, columns):
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    rows = jax.device_put(columns[0], NamedSharding(mesh, PartitionSpec("data")))
    whole = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    program = jax.jit(lambda params, rows: in_chunks(embed, 8)(params, rows, None)).lower(whole, rows).compile()
    text = program.as_text()
    assert text is not None
    assert not any(name in text for name in ("all-gather", "all-to-all", "collective-permute"))


def test_batches_that_are_not_a_multiple_of_the_chunk_are_rejected(params, columns):
    with pytest.raises(InputError, match="has 32 rows, which is not a multiple of the chunk, 5"):
        in_chunks(embed, 5)(params, columns[0], None)
    with pytest.raises(InputError, match="chunk is 0"):
        in_chunks(embed, 0)
