"""The pure functions `embed` and `encode`: transformations, shapes, and independence of the rows."""

import functools
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, test_util
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import minilm_jax as mj
from minilm_jax.nn.attention import _batched, _by_einsum, _cudnn, _per_head, attention
from minilm_jax.nn.params import Params
from tests.helpers.compiled import embed, encode
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import ATTENTION_FORMULA, FINITE_DIFFERENCES, UNIT_NORM, UNIT_VECTORS

tiny_embed = functools.partial(mj.embed, config=TINY)
compiled_embed = jax.jit(tiny_embed)


def random_batch(rows: int, length: int, config: mj.EncoderConfig = TINY, seed: int = 0) -> mj.Batch:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, length + 1, rows)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    return mj.Batch(random.integers(config.vocab_size, size=(rows, length)) * mask, mask, np.zeros_like(mask))


def test_embed_returns_float32_unit_vectors(tiny_params: Params) -> None:
    vectors = compiled_embed(tiny_params, random_batch(5, 7))
    assert vectors.shape == (5, TINY.hidden_size)
    assert vectors.dtype == jnp.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=UNIT_NORM)


def test_unpickled_config_is_a_valid_jit_argument_in_a_new_process() -> None:
    code = "import sys, pickle, jax; jax.jit(lambda x, config: x)(1, pickle.load(sys.stdin.buffer))"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(TINY), check=True)


def test_config_is_a_valid_jit_argument(tiny_params: Params) -> None:
    batch = random_batch(2, 4)
    np.testing.assert_array_equal(embed(tiny_params, batch, TINY), compiled_embed(tiny_params, batch))


def test_embed_accepts_any_integer_ids_and_mask_dtype(tiny_params: Params) -> None:
    batch = random_batch(3, 5)
    wanted = compiled_embed(tiny_params, batch)
    ids, mask = np.asarray(batch.input_ids), np.asarray(batch.attention_mask)
    for other in (
        mj.Batch(ids.astype(np.int64), mask.astype(np.int64)),
        mj.Batch(ids.astype(np.int8), mask.astype(np.int8)),
        mj.Batch(jnp.asarray(ids), jnp.asarray(mask, bool), None),
        mj.Batch(ids, mask.astype(np.float32)),
    ):
        np.testing.assert_array_equal(compiled_embed(tiny_params, other), wanted)


def test_padding_row_gives_zeros_and_finite_gradients(tiny_params: Params) -> None:
    batch = mj.Batch(np.zeros((2, 4), np.int32), np.array([[0, 0, 0, 0], [1, 1, 0, 0]]))

    def total(params: Params) -> jax.Array:
        return tiny_embed(params, batch).sum()

    vectors = compiled_embed(tiny_params, batch)
    np.testing.assert_array_equal(vectors[0], 0)
    assert np.linalg.norm(vectors[1]) == pytest.approx(1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(tiny_params)))


def test_gradients_agree_with_finite_differences(tiny_params: Params) -> None:
    batch = random_batch(2, 4)
    direction = np.random.default_rng(1).normal(size=(2, TINY.hidden_size))

    def score(params: Params) -> jax.Array:
        return jnp.vdot(tiny_embed(params, batch), direction)

    jax.config.update("jax_enable_x64", True)
    try:
        with jax.numpy_dtype_promotion("standard"):
            exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tiny_params)
            gradient = jax.jit(jax.grad(score))(exact)
            assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) > 1e-2
            test_util.check_grads(
                jax.jit(score),
                (exact,),
                order=1,
                modes=("fwd", "rev"),
                atol=FINITE_DIFFERENCES,
                rtol=FINITE_DIFFERENCES,
                eps=1e-5,
            )
    finally:
        jax.config.update("jax_enable_x64", False)


def test_gradients_of_the_real_weights_are_finite(params: Params) -> None:
    batch = mj.Batch(np.array([[101, 7592, 102, 0], [101, 2088, 2003, 102]]), np.array([[1, 1, 1, 0], [1, 1, 1, 1]]))

    def similarity(params: Params) -> jax.Array:
        first, second = mj.embed(params, batch)
        return jnp.dot(first, second)

    gradients = jax.jit(jax.grad(similarity))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert float(jnp.abs(gradients["encoder"]["layer"]["0"]["attention"]["self"]["query"]["kernel"]).max()) > 0


def test_vmap_over_batches_matches_separate_calls(tiny_params: Params) -> None:
    batches = [random_batch(3, 5, seed=seed) for seed in range(4)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
    vectors = jax.jit(jax.vmap(tiny_embed, in_axes=(None, 0)))(tiny_params, stacked)
    wanted = np.stack([compiled_embed(tiny_params, batch) for batch in batches])
    np.testing.assert_allclose(vectors, wanted, rtol=0, atol=UNIT_VECTORS)


@pytest.mark.parametrize(("axis_type", "packed"), [(AxisType.Auto, False), (AxisType.Explicit, True)])
def test_sharded_batch_gives_the_same_vectors(tiny_params: Params, axis_type: AxisType, packed: bool) -> None:
    batch = random_batch(8, 5)
    if packed:
        batch = mj.PackedBatch(batch.input_ids, np.tile([[2, 0, 3]], (8, 1)))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(axis_type,))
    everywhere, rows = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    split = jax.device_put(batch, rows)
    for params in (tiny_params, jax.device_put(tiny_params, everywhere)):
        vectors = compiled_embed(params, split)
        assert len(vectors.sharding.device_set) == 4
        np.testing.assert_allclose(vectors, compiled_embed(tiny_params, batch), rtol=0, atol=UNIT_VECTORS)


def test_lowered_embed_has_no_host_callbacks(tiny_params: Params) -> None:
    lowered = jax.jit(tiny_embed).lower(tiny_params, random_batch(2, 4)).as_text()
    assert "callback" not in lowered


def test_embed_exports_for_all_platforms_at_once(tiny_params: Params) -> None:
    batch = random_batch(2, 4)
    exported = export.export(jax.jit(tiny_embed), platforms=("cpu", "cuda", "tpu"))(tiny_params, batch)
    np.testing.assert_allclose(
        exported.call(tiny_params, batch), compiled_embed(tiny_params, batch), rtol=0, atol=UNIT_VECTORS
    )


def random_heads(seed: int) -> tuple[jax.Array, jax.Array]:
    mask = jnp.arange(9)[None] < jnp.array([[9], [1], [4]])
    return jax.random.normal(jax.random.key(seed), (3, 3, 9, 24)), mask


def test_attention_implementations_agree() -> None:
    (query, key, value), mask = random_heads(0)
    bias = jnp.where(mask, 0, jnp.finfo(jnp.float32).min).astype(jnp.float32)[:, None]
    loop = _per_head(query, key, value, bias, num_heads=3)
    whole = _batched(query, key, value, bias, num_heads=3)
    np.testing.assert_allclose(loop, whole, rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(_by_einsum(query, key, value, bias, num_heads=3), whole, rtol=0, atol=UNIT_VECTORS)
    each = jnp.broadcast_to(mask[:, None], (3, 9, 9))
    for given in (mask[:, None], each):  # The calls made to a GPU library, computed on the CPU.
        fused = _cudnn(query, key, value, given, num_heads=3, library="xla")
        np.testing.assert_allclose(fused, attention(query, key, value, each, num_heads=3), rtol=0, atol=UNIT_VECTORS)


def test_attention_matches_the_formula() -> None:
    heads, mask = jax.device_get(random_heads(1))
    query, key, value = heads
    found = jax.jit(functools.partial(attention, num_heads=3))(query, key, value, mask)
    for head in (slice(0, 8), slice(8, 16), slice(16, 24)):
        scores = np.einsum("btd,bsd->bts", query[..., head], key[..., head]) / np.sqrt(8)
        weights = np.exp(scores - scores.max(-1, keepdims=True)) * mask[:, None]
        wanted = np.einsum("bts,bsd->btd", weights / weights.sum(-1, keepdims=True), value[..., head])
        np.testing.assert_allclose(found[..., head], wanted, rtol=0, atol=ATTENTION_FORMULA)


@pytest.mark.parametrize("field", ["hidden_act", "pooling", "normalize"])
def test_config_field_changes_the_result(tiny_params: Params, field: str) -> None:
    batch = random_batch(2, 4)
    other = {"hidden_act": "gelu_new", "pooling": "cls", "normalize": False}
    config = mj.EncoderConfig.from_dict({**TINY.to_dict(), field: other[field]})
    assert np.abs(embed(tiny_params, batch, config) - compiled_embed(tiny_params, batch)).max() > 1e-6


def test_cls_pooling_returns_the_first_token(tiny_params: Params) -> None:
    config = mj.EncoderConfig.from_dict({**TINY.to_dict(), "pooling": "cls", "normalize": False})
    batch = random_batch(2, 4)
    wanted = encode(tiny_params, batch, config).last_hidden_state[:, 0]
    np.testing.assert_allclose(embed(tiny_params, batch, config), wanted, rtol=0, atol=UNIT_VECTORS)


def test_encode_without_pooler_weights_has_no_pooler_output(tiny_params: Params) -> None:
    without = {name: leaf for name, leaf in tiny_params.items() if name != "pooler"}
    assert encode(without, random_batch(1, 3), TINY).pooler_output is None
