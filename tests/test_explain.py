"""The numbers behind the pictures: attention weights are those of the layer, shares add up to the similarity."""

import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.errors import InputError
from minilm_jax.explain import attention_weights, word_shares
from minilm_jax.nn.encoder import SelfAttention
from minilm_jax.nn.params import Params
from tests.helpers.tiny_model import TINY

# The integral over 32 steps, and sums of some ten shares.
COMPLETENESS = 2e-3

PAIRS = [
    ("The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", {"cat", "sleeps"}),
    ("A kitten is napping in the sun.", "The cat sleeps on the warm windowsill.", {"kitten", "napping"}),
]


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_attention_weights_mix_the_values_to_what_the_layer_computes(tiny_params: Params, layer: int) -> None:
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    batch = mj.Batch(np.arange(10).reshape(2, 5), mask)
    weights = attention_weights(tiny_params, batch, TINY, layer=layer)
    assert weights.shape == (2, TINY.num_attention_heads, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(weights[1, :, :, 2:], 0)

    hidden = (mj.encode(tiny_params, batch, TINY, output_hidden_states=True).hidden_states or ())[layer % 2]
    own = tiny_params["encoder"]["layer"][str(layer % 2)]["attention"]["self"]
    value = hidden @ own["value"]["kernel"] + own["value"]["bias"][None, None]
    mixed = jnp.einsum("bnts,bsnh->btnh", weights, value.reshape(2, 5, TINY.num_attention_heads, -1))
    wanted = SelfAttention(TINY).apply({"params": own}, hidden, jnp.asarray(mask, bool))
    np.testing.assert_allclose(mixed.reshape(2, 5, -1), np.asarray(wanted), rtol=0, atol=1e-5)


def test_attention_weights_compile_and_take_every_precision(tiny_params: Params) -> None:
    batch = mj.Batch(np.arange(4)[None], np.ones((1, 4), np.int32))
    wanted = attention_weights(tiny_params, batch, TINY)
    compiled = jax.jit(attention_weights, static_argnames="layer")(tiny_params, batch, TINY, layer=1)
    np.testing.assert_allclose(compiled, wanted, rtol=0, atol=1e-6)
    rounded = attention_weights(mj.cast(tiny_params, "int8", TINY), batch, TINY)
    np.testing.assert_allclose(rounded, wanted, rtol=0, atol=0.05)


@pytest.mark.parametrize("layer", [2, -3])
def test_a_layer_that_is_not_there(tiny_params: Params, layer: int) -> None:
    batch = mj.Batch(np.zeros((1, 3), np.int32), np.ones((1, 3), np.int32))
    with pytest.raises(InputError, match=f"layer is {layer}; the model has 2"):
        attention_weights(tiny_params, batch, TINY, layer=layer)


@pytest.mark.parametrize(("text", "other", "most"), PAIRS)
def test_shares_add_up_to_what_the_words_made_of_the_cosine(
    encoder: mj.SentenceEncoder, text: str, other: str, most: set[str]
) -> None:
    shares = word_shares(encoder, text, other)
    ids = np.array([[piece.id for piece in encoder.tokenizer.pieces(text)]], np.int32)
    empty = np.zeros_like(ids)
    empty[0, [0, -1]] = ids[0, [0, -1]]
    batch = mj.Batch(np.concatenate([ids, empty]), np.ones((2, ids.shape[1]), np.int32))
    cosine, of_nothing = np.asarray(mj.embed(encoder.params, batch)) @ encoder.encode(other)
    assert sum(word.share for word in shares) == pytest.approx(cosine - of_nothing, abs=COMPLETENESS)
    assert {word.word for word in sorted(shares, key=lambda word: -word.share)[:2]} == most


def test_words_are_whole_and_as_they_stand_in_the_text(encoder: mj.SentenceEncoder) -> None:
    text = "Napping  on a\nWindowsill, naïvely!"
    words = word_shares(encoder, text, "sleep")
    assert [word.word for word in words] == ["Napping", "on", "a", "Windowsill", ",", "naïvely", "!"]
    assert all(text[word.start : word.end] == word.word for word in words)


def test_shares_of_an_empty_text_and_of_one_that_is_cut(encoder: mj.SentenceEncoder) -> None:
    assert word_shares(encoder, "", "sleep") == []
    short = mj.SentenceEncoder(encoder.params, encoder.config, encoder.tokenizer, max_seq_length=12)
    assert [word.word for word in word_shares(short, "nap " * 300, "sleep")] == ["nap"] * 10


def test_int8_has_no_gradients(tiny_params: Params) -> None:
    rounded: Any = types.SimpleNamespace(params=mj.cast(tiny_params, "int8", TINY))
    with pytest.raises(InputError, match="an int8 encoder has no gradients"):
        word_shares(rounded, "a", "b")
