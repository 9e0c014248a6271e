"""The optimizer: schedules, decay and rates per layer; compared with formulas."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax.errors import InputError
from minilm_jax.training import TrainingOptions
from minilm_jax.training.optimizer import optimizer, schedule

PARAMS = {
    "embeddings.word_embeddings.embedding": jnp.ones(3),
    "encoder.layer.0.output.dense.kernel": jnp.ones(3),
    "encoder.layer.1.output.dense.kernel": jnp.ones(3),
    "encoder.layer.1.output.dense.bias": jnp.ones(3),
    "encoder.layer.1.output.LayerNorm.scale": jnp.ones(3),
}


@pytest.fixture(autouse=True)
def _standard_promotion():
    # optax does not run with strict promotion.
    with jax.numpy_dtype_promotion("standard"):
        yield


def rates(steps: int = 10, **settings) -> list[float]:
    rate = schedule(TrainingOptions(learning_rate=1.0, **settings), steps)
    return [round(float(jnp.asarray(rate(step))), 6) for step in range(steps)]


def test_rate_rises_and_falls_as_in_transformers() -> None:
    expected = [step / 2 if step < 2 else (10 - step) / 8 for step in range(10)]
    np.testing.assert_allclose(rates(warmup=0.2), expected, atol=1e-6)
    assert rates(warmup=2) == rates(warmup=0.2)
    np.testing.assert_allclose(
        rates(warmup=0, schedule="cosine"), [0.5 * (1 + np.cos(np.pi * step / 10)) for step in range(10)], atol=1e-6
    )
    assert set(rates(warmup=0, schedule="constant")) == {1.0}
    assert rates(4, warmup=1)[0] == 0.0


def updates(**settings) -> dict[str, float]:
    """Return the first update of every param, for equal gradients."""
    options = TrainingOptions(learning_rate=1.0, warmup=0, schedule="constant", **settings)
    found = optimizer(options, 10, layers=2)
    gradient = {path: jnp.full(3, 0.01) for path in PARAMS}
    update: Any = found.update(gradient, found.init(PARAMS), PARAMS)[0]
    return {path: float(leaf[0]) for path, leaf in update.items()}


def test_weight_decay_leaves_out_biases_and_layer_norm() -> None:
    plain, decayed = updates(), updates(weight_decay=0.1)
    changed = {path for path in PARAMS if abs(decayed[path] - plain[path] + 0.1) < 1e-6}
    assert changed == {path for path in PARAMS if path.endswith(("kernel", "embedding"))}
    assert all(decayed[path] == plain[path] for path in PARAMS.keys() - changed)


def test_lower_layers_have_lower_rates() -> None:
    slower, plain = updates(layer_decay=0.5), updates()
    factors = [slower[path] / plain[path] for path in PARAMS]
    np.testing.assert_allclose(factors, [0.25, 0.5, 1, 1, 1], rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": -1},
        {"warmup": -0.1},
        {"schedule": "step"},
        {"precision": "int8"},
        {"layer_decay": 2},
        {"freeze": "embeddings.*"},
        {"chunk_tokens": 0},
        {"lora_rank": 0.5},
    ],
)
def test_invalid_options_are_named(settings: dict) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        TrainingOptions(**settings)


def test_number_of_steps() -> None:
    assert TrainingOptions(epochs=2, batch_size=16).steps(100) == 12
    assert TrainingOptions(max_steps=7).steps(100) == 7
    assert TrainingOptions(epochs=0.1).steps(10) == 1
