"""Losses compared with plain formulas in float64: values, gradients, padding rows and meshes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.helpers.loss_cases import CASES, ROWS
from tests.helpers.tolerances import FINITE_DIFFERENCES, FLOAT32_LOSSES, REORDERED_LOSSES

STEP = 1e-5


def as_float32(vectors, labels):
    is_class = labels is not None and labels.dtype == np.int64
    labels = labels if labels is None else jnp.asarray(labels, jnp.int32 if is_class else jnp.float32)
    return [jnp.asarray(column, jnp.float32) for column in vectors], labels


def value_and_grad(case):
    return jax.jit(jax.value_and_grad(lambda vectors, labels, valid: case.loss(vectors, labels, valid=valid)))


def assert_equal(found, expected, tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, atol=tolerance, rtol=tolerance), found, expected)


@pytest.fixture
def float64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_is_that_of_the_formula(case):
    vectors, labels = case.batch()
    found = case.loss(*as_float32(vectors, labels))
    assert found.shape == ()
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, case.formula(vectors, labels), rtol=FLOAT32_LOSSES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradient_is_that_of_finite_differences(case, float64):
    vectors, labels = case.batch(rows=4)
    gradients = jax.grad(lambda vectors: case.loss(vectors, labels))([jnp.asarray(v) for v in vectors])
    value = jax.jit(lambda vectors: case.loss(vectors, labels))
    for column, gradient in zip(vectors, gradients, strict=True):
        assert gradient.dtype == jnp.float64
        for place in [(0, 0), (1, 2), (3, 1)]:
            column[place] += STEP
            above = float(value(vectors))  # Waits, because the program may read the memory of the column.
            column[place] -= 2 * STEP
            slope = (above - float(value(vectors))) / (2 * STEP)
            column[place] += STEP
            np.testing.assert_allclose(gradient[place], slope, atol=FINITE_DIFFERENCES, rtol=FINITE_DIFFERENCES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_padding_rows_change_neither_value_nor_gradient(case):
    vectors, labels = as_float32(*case.batch())
    expected, gradients = value_and_grad(case)(vectors, labels, None)
    # Padding rows are put between the others and contain NaN, or a class that does not exist.
    places = jnp.array([0, 2, 3, 4, 6, 7, 8, 10])
    padded = [jnp.full((11, v.shape[1]), jnp.nan).at[places].set(v) for v in vectors]
    if labels is not None:
        fill = jnp.nan if jnp.issubdtype(labels.dtype, jnp.floating) else 99
        labels = jnp.full((11, *labels.shape[1:]), fill, labels.dtype).at[places].set(labels)
    valid = jnp.zeros(11, bool).at[places].set(True)
    found, padded_gradients = value_and_grad(case)(padded, labels, valid)
    np.testing.assert_allclose(found, expected, rtol=REORDERED_LOSSES)
    for padded_gradient, gradient in zip(padded_gradients, gradients, strict=True):
        np.testing.assert_allclose(padded_gradient[places], gradient, atol=REORDERED_LOSSES, rtol=REORDERED_LOSSES)
        assert (padded_gradient[~valid] == 0).all()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_batch_of_padding_rows_gives_0(case):
    vectors, labels = as_float32(*case.batch())
    found, gradients = value_and_grad(case)(vectors, labels, jnp.zeros(ROWS, bool))
    assert found == 0
    assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_loss_covers_the_batch_of_all_devices(case, devices):
    vectors, labels = as_float32(*case.batch(rows=16))
    expected = value_and_grad(case)(vectors, labels, jnp.arange(16) < 13)
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    batch = jax.device_put((vectors, labels, jnp.arange(16) < 13), NamedSharding(mesh, PartitionSpec("data")))
    assert_equal(value_and_grad(case)(*batch), expected, REORDERED_LOSSES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_zero_vectors_and_equal_texts_have_finite_gradients(case):
    vectors, labels = as_float32(*case.batch())
    vectors = [v.at[0].set(0).at[1].set(vectors[0][1]) for v in vectors]
    for gradient in value_and_grad(case)(vectors, labels, None)[1]:
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_16_bit_vectors_are_compared_in_float32(case):
    vectors, labels = as_float32(*case.batch())
    rounded = [v.astype(jnp.bfloat16) for v in vectors]
    expected = case.loss([v.astype(jnp.float32) for v in rounded], labels)
    assert case.loss(rounded, labels) == expected
    assert expected.dtype == jnp.float32
