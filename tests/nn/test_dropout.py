"""Dropout: off without a key, with the probabilities of the config otherwise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.nn.attention import attention
from minilm_jax.nn.dropout import dropout
from tests.helpers.tiny_model import TINY, TINY_BATCH, random_params

KEY = jax.random.key(0)
NO_DROPOUT = dataclasses.replace(TINY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
# Four standard deviations of the share of zeros among 100,000 elements.
SHARE_OF_ZEROS = 0.005


@pytest.fixture(scope="module")
def params() -> mj.EncoderParams:
    return random_params(TINY, seed=1)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_elements_become_zero_with_the_probability_and_keep_their_mean(rate: float) -> None:
    found = np.asarray(dropout(jnp.ones(100_000), rate, KEY))
    assert abs((found == 0).mean() - rate) < SHARE_OF_ZEROS
    np.testing.assert_allclose(np.unique(found), [0, 1 / (1 - rate)], rtol=1e-6)


@pytest.mark.parametrize("compute", [mj.embed, mj.encode])
def test_without_a_key_the_program_has_no_random_numbers(compute, params) -> None:
    assert "threefry" not in jax.jit(compute).lower(params, TINY_BATCH).as_text()
    with_key = jax.jit(lambda p, key: compute(p, TINY_BATCH, dropout_key=key)).lower(params, KEY).as_text()
    assert "threefry" in with_key


def test_the_config_without_dropout_computes_the_same_with_a_key(params) -> None:
    plain = mj.encode(params, TINY_BATCH, NO_DROPOUT).last_hidden_state
    assert jnp.array_equal(plain, mj.encode(params, TINY_BATCH, NO_DROPOUT, dropout_key=KEY).last_hidden_state)


@pytest.mark.parametrize("field", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_each_probability_has_an_effect_of_its_own(field: str, params) -> None:
    config = dataclasses.replace(NO_DROPOUT, **{field: 0.5})
    plain, first, second = (
        mj.encode(params, TINY_BATCH, config, dropout_key=key).last_hidden_state
        for key in (None, KEY, jax.random.key(1))
    )
    assert not jnp.allclose(plain, first)
    assert not jnp.allclose(first, second)


def test_classifier_has_its_own_probability() -> None:
    config = dataclasses.replace(NO_DROPOUT, classifier=mj.Classifier(("a", "b")), classifier_dropout=0.5)
    params = random_params(config, seed=2)
    plain, dropped = (mj.classify(params, TINY_BATCH, dropout_key=key) for key in (None, KEY))
    assert not jnp.allclose(plain, dropped)


def test_long_rows_and_short_rows_drop_attention_weights() -> None:
    for length in (8, 200):
        x = jax.random.normal(KEY, (1, length, 12))
        mask = jnp.ones((1, length), bool)
        plain, dropped = (
            attention(x, x, x, mask, num_heads=3, dropout_rate=0.5, dropout_key=key) for key in (None, KEY)
        )
        assert not jnp.allclose(plain, dropped)


@pytest.mark.parametrize("value", [1.0, -0.1, "0.1", True])
def test_probabilities_are_checked(value) -> None:
    with pytest.raises(mj.ModelFileError, match="hidden_dropout_prob"):
        dataclasses.replace(TINY, hidden_dropout_prob=value)


def test_distilbert_names_are_read() -> None:
    values = {"model_type": "distilbert", "vocab_size": 9, "dim": 4, "n_layers": 1, "n_heads": 2, "hidden_dim": 8}
    values |= {"max_position_embeddings": 8, "dropout": 0.2, "attention_dropout": 0.3, "seq_classif_dropout": 0.4}
    config = mj.EncoderConfig.from_dict(values)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.3)
    assert config.classifier_dropout == 0.4
