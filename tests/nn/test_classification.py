"""`classify`: the head over the first token, in every form of batch, with gradients, and its config."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import HeadActivation
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.packed_rows import NO_TEXT, pack
from tests.helpers.tiny_model import TINY, TINY_BATCH, random_params
from tests.helpers.tolerances import TOKEN_VECTORS

LABELS = ("contradiction", "entailment", "neutral")
CONFIG = dataclasses.replace(TINY, classifier=mj.Classifier(LABELS))
TOKENS = RaggedIds(
    np.arange(1, 21, dtype=np.int32), np.array([5, 9, 6], np.int32), first_lengths=np.array([2, 5, 6], np.int32)
)


@pytest.fixture(scope="module")
def params() -> mj.EncoderParams:
    return random_params(CONFIG, seed=3)


@pytest.mark.parametrize(("activation", "function"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_logits_are_two_dense_layers_over_the_first_token(
    params: mj.EncoderParams, activation: HeadActivation, function: np.ufunc
) -> None:
    config = dataclasses.replace(TINY, classifier=mj.Classifier(LABELS, activation))
    first = np.asarray(mj.encode(params, TINY_BATCH, config).last_hidden_state)[:, 0]
    pooler, classifier = jax.tree.map(np.asarray, (params["pooler"]["dense"], params["classifier"]))
    expected = function(first @ pooler["kernel"] + pooler["bias"]) @ classifier["kernel"] + classifier["bias"]
    logits = np.asarray(jax.jit(mj.classify)(params, TINY_BATCH, config))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOKEN_VECTORS)


def test_packed_rows_have_the_logits_of_padded_ones(params: mj.EncoderParams) -> None:
    padded = np.asarray(mj.classify(params, TOKENS.pad(np.arange(3), (3, 12))))
    texts = np.array([[0, 1], [2, NO_TEXT]])
    packed = np.asarray(mj.classify(params, pack(TOKENS, texts, 14)))
    assert packed.shape == (2, 2, 3)
    np.testing.assert_allclose(packed[texts != NO_TEXT], padded, rtol=0, atol=TOKEN_VECTORS)


def test_full_rows_may_have_places_without_a_text(params: mj.EncoderParams) -> None:
    packed = mj.classify(params, pack(TOKENS, np.array([[0, 1, NO_TEXT]]), 14))
    assert np.isfinite(np.asarray(packed)).all()


def test_gradients_reach_every_layer(params: mj.EncoderParams) -> None:
    batch = TOKENS.pad(np.arange(3), (3, 12))
    gradients = jax.grad(lambda params: mj.classify(params, batch)[:, 0].sum())(params)
    unused = {"embeddings.position_embeddings", "embeddings.word_embeddings"}
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        # Adding a constant to all keys does not change a softmax.
        if not name.endswith("self.key.bias") and name not in unused:
            assert float(abs(leaf).max()) > 0, name


def test_vmap_over_batches_equals_one_call_each(params: mj.EncoderParams) -> None:
    batch = TOKENS.pad(np.arange(3), (3, 12))
    both = jax.tree.map(lambda x: np.stack([x, x[::-1]]), batch)
    found = jax.vmap(lambda batch: mj.classify(params, batch))(both)
    np.testing.assert_allclose(found[0], found[1][::-1], rtol=0, atol=TOKEN_VECTORS)
    np.testing.assert_allclose(found[0], mj.classify(params, batch), rtol=0, atol=TOKEN_VECTORS)


def test_sixteen_bit_params_give_similar_logits(params: mj.EncoderParams) -> None:
    batch = TOKENS.pad(np.arange(3), (3, 12))
    half = mj.classify(mj.cast(params, "bfloat16"), batch)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, mj.classify(params, batch), rtol=0, atol=0.05)  # 8 bits of values near 1.


def test_models_without_classifier_are_refused() -> None:
    with pytest.raises(mj.InputError, match="the config has no classifier"):
        mj.classify(random_params(TINY, seed=0), TINY_BATCH)


@pytest.mark.parametrize("path", ["pooler.dense.kernel", "classifier.bias"])
def test_missing_weights_are_named(params: mj.EncoderParams, path: str) -> None:
    left = {name: leaf for name, leaf in params.items() if name != path.partition(".")[0]}
    with pytest.raises(mj.InputError, match=path.partition(".")[0]):
        mj.classify(left, TINY_BATCH, CONFIG)


@pytest.mark.parametrize("suffix", [".safetensors", ".msgpack"])
def test_saved_params_keep_their_classifier(params: mj.EncoderParams, tmp_path: Path, suffix: str) -> None:
    mj.save_params(params, tmp_path / f"params{suffix}")
    loaded = mj.load_params(tmp_path / f"params{suffix}")
    assert loaded.config == CONFIG
    np.testing.assert_array_equal(mj.classify(loaded, TINY_BATCH), mj.classify(params, TINY_BATCH))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"labels": []}, "labels is"),
        ({"labels": [1]}, "labels is"),
        ({"labels": "abc"}, "labels is"),
        ({"labels": ["a"], "activation": "gelu"}, "classifier: activation"),
        ({"activation": "tanh"}, "classifier is"),
        ("yes", "classifier is"),
    ],
)
def test_damaged_classifier_of_a_config_is_refused(value: object, message: str) -> None:
    with pytest.raises(mj.ModelFileError, match=message):
        mj.EncoderConfig.from_dict({**TINY.to_dict(), "classifier": value})


def test_heads_of_26_dimensions_work() -> None:
    # TinyBERT-L4 divides 312 dimensions among 12 heads.
    config = dataclasses.replace(CONFIG, hidden_size=312, num_attention_heads=12)
    logits = mj.classify(random_params(config, seed=1), TINY_BATCH)
    assert np.isfinite(np.asarray(logits)).all()
