"""bfloat16, float16 and int8: close to float32 on the real weights, exact integer products, independent texts."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn import integer_dot
from minilm_jax.nn.dense import Quantized, _dot_scaled, dense, quantize, shared_input
from minilm_jax.nn.integer_dot import dot_uint8_int8
from minilm_jax.nn.params import Params, flatten, unflatten
from tests.helpers.compiled import embed
from tests.helpers.paths import GOLDEN
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import FLOAT32_COSINES, INT8_DENSE, OTHER_BATCH_COSINE, TINY_COSINE

TEXTS: list[str] = json.loads((GOLDEN / "texts.json").read_text("utf-8"))


@pytest.fixture(scope="module", params=["bfloat16", "float16", "int8"])
def precision(request: pytest.FixtureRequest) -> Precision:
    return request.param


@pytest.fixture(scope="module")
def float32_vectors(encoder: mj.SentenceEncoder) -> NDArray[np.float32]:
    """Vectors of the golden texts."""
    with warnings.catch_warnings(action="ignore"):
        return encoder.encode(TEXTS)


def test_vectors_in_each_precision_are_close_to_float32(
    precision: Precision, encoder: mj.SentenceEncoder, float32_vectors: NDArray[np.float32]
) -> None:
    cast = mj.SentenceEncoder(
        mj.cast(encoder.params, precision), encoder.config, encoder.tokenizer, encoder.max_seq_length
    )
    with warnings.catch_warnings(action="ignore"):
        cosines = (cast.encode(TEXTS) * float32_vectors).sum(axis=1)
    smallest, mean = FLOAT32_COSINES[precision]
    assert cosines.min() > smallest
    assert cosines.mean() > mean


def test_vector_does_not_depend_on_the_batch(precision: Precision, params: Params) -> None:
    cast = mj.cast(params, precision)
    texts = ["A cat sat.", "Quantum chromodynamics is the theory of the strong interaction between quarks.", "No."]
    together = np.asarray(embed(cast, mj.tokenize(texts)))
    for index in (0, 2):
        alone = np.asarray(embed(cast, mj.tokenize([texts[index]])))[0]
        assert alone @ together[index] > OTHER_BATCH_COSINE[precision]


def test_cast_params_take_less_memory(params: Params) -> None:
    sizes = {
        name: sum(leaf.nbytes for leaf in jax.tree.leaves(mj.cast(params, name)))
        for name in ("float32", "bfloat16", "int8")
    }
    assert sizes["bfloat16"] < 0.51 * sizes["float32"]
    assert sizes["int8"] < 0.4 * sizes["float32"]


def test_cast_to_float32_returns_the_same_arrays(tiny_params: Params) -> None:
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, mj.cast(tiny_params, "float32"), tiny_params))


def test_cast_does_not_change_its_argument(tiny_params: Params, precision: Precision) -> None:
    before = jax.tree.map(np.array, tiny_params)
    mj.cast(tiny_params, precision, TINY)
    assert jax.tree.all(jax.tree.map(np.array_equal, tiny_params, before))


@pytest.mark.parametrize("rows", [1, 5, 64])
@pytest.mark.parametrize("portable", [False, True])
def test_integer_products_are_exact(rows: int, portable: bool) -> None:
    random = np.random.default_rng(rows)
    x = random.integers(0, 256, (rows, 1536)).astype(np.uint8)
    kernel = random.integers(-128, 128, (1536, 40)).astype(np.int8)
    x[0], kernel[:, 0] = 255, -128
    product = jax.jit(integer_dot._portable if portable else dot_uint8_int8)(x, kernel)
    np.testing.assert_array_equal(np.asarray(product), x.astype(np.int32) @ kernel.astype(np.int32))
    stacked = jax.vmap(dot_uint8_int8, in_axes=(0, None))(jnp.asarray(x[None]), jnp.asarray(kernel))
    np.testing.assert_array_equal(np.asarray(stacked[0]), np.asarray(product))
    kernels, one = jnp.stack([jnp.asarray(kernel)] * 2), jnp.asarray(x)
    shared = jax.vmap(dot_uint8_int8, in_axes=(None, 0))(one, kernels)
    paired = jax.vmap(dot_uint8_int8)(jnp.stack([one] * 2), kernels)
    for products in (shared, paired):
        np.testing.assert_array_equal(np.asarray(products[1]), np.asarray(product))


def test_integer_product_falls_back_when_the_compiler_rejects_mixed_types(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("mixed types")

    monkeypatch.setattr(integer_dot, "_primitive", type("Refuses", (), {"bind": staticmethod(refuse)}))
    integer_dot._compiler_supports_it.cache_clear()
    try:
        product = dot_uint8_int8(jnp.full((2, 3), 255, jnp.uint8), jnp.full((3, 4), -128, jnp.int8))
    finally:
        integer_dot._compiler_supports_it.cache_clear()
    np.testing.assert_array_equal(np.asarray(product), np.full((2, 4), -128 * 255 * 3))


def test_accelerator_form_of_int8_product_is_close_to_float32(tiny_params: Params) -> None:
    module = mj.cast(tiny_params, "int8", TINY)["encoder"]["layer"]["0"]["intermediate"]
    wanted = tiny_params["encoder"]["layer"]["0"]["intermediate"]["dense"]
    x = jax.random.normal(jax.random.key(0), (7, TINY.hidden_size))
    smoothed = shared_input(module, x)
    assert isinstance(smoothed, Quantized)
    scaled = _dot_scaled(smoothed, module["dense"]) + wanted["bias"][None]
    np.testing.assert_allclose(scaled, dense(wanted, x), atol=INT8_DENSE)
    np.testing.assert_allclose(dense(module["dense"], smoothed), dense(wanted, x), atol=INT8_DENSE)


@pytest.mark.parametrize("lowest", [None, -0.5])
def test_quantized_values_are_at_most_one_level_off(lowest: float | None) -> None:
    x = jnp.maximum(jax.random.normal(jax.random.key(0), (50, 64)) * jnp.arange(50.0)[:, None], -0.5)
    _, values, scale, zero = quantize(x, lowest=lowest)
    assert (jnp.abs(scale * (values.astype(jnp.float32) - zero) - x) <= 1.001 * scale + 1e-30).all()


def test_int8_stays_accurate_with_wide_channels() -> None:
    # One channel of every LayerNorm is 40 times as wide as the others. Unsmoothed, it would use most of the 255 levels.
    params = mj.init_params(TINY, jax.random.key(0))
    leaves = flatten(params)
    for path in leaves:
        if path.endswith("LayerNorm.scale"):
            leaves[path] = leaves[path].at[3].set(40.0)
        elif path.endswith(("query.kernel", "key.kernel", "value.kernel", "intermediate.dense.kernel")):
            leaves[path] = (20 * leaves[path]).at[3].divide(40.0)
    params = unflatten(leaves)
    cast = mj.cast(params, "int8", TINY)
    batch = mj.Batch(np.arange(24).reshape(3, 8), np.ones((3, 8), int))
    wanted = embed(params, batch, TINY)
    assert (embed(cast, batch, TINY) * wanted).sum(axis=1).min() > TINY_COSINE


def test_int8_dense_of_zeros_returns_the_bias(tiny_params: Params) -> None:
    kernels = mj.cast(tiny_params, "int8", TINY)["encoder"]["layer"]["0"]["intermediate"]["dense"]
    np.testing.assert_allclose(dense(kernels, jnp.zeros((2, TINY.hidden_size))), kernels["bias"][None].repeat(2, 0))


def test_bfloat16_gradients_are_finite(tiny_params: Params) -> None:
    batch = mj.Batch(np.array([[1, 2, 3]]), np.ones((1, 3), int), np.zeros((1, 3), int))
    gradient = jax.jit(jax.grad(lambda params: mj.embed(params, batch, TINY)[0, 0]))
    gradients = gradient(mj.cast(tiny_params, "bfloat16"))
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("what", ["all", "tables"])
def test_gradients_of_int8_params_raise_error(tiny_params: Params, what: str) -> None:
    params, batch = mj.cast(tiny_params, "int8"), mj.Batch(np.array([[1, 2]]), np.ones((1, 2), int))

    def score(part: Params) -> jax.Array:
        return mj.embed(params | part, batch).sum()

    part = params if what == "all" else {"embeddings": params["embeddings"]}
    with pytest.raises(mj.InputError, match=r"int8 params have no gradients.*mj\.cast"):
        jax.grad(score, allow_int=True)(part)


def test_invalid_cast_raises_error(tiny_params: Params) -> None:
    with pytest.raises(mj.InputError, match="precision is 'int4'; it must be one of float32, bfloat16, float16, int8"):
        mj.cast(tiny_params, "int4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(mj.InputError, match="cast needs float32 params"):
        mj.cast(mj.cast(tiny_params, "int8", TINY), "bfloat16")
