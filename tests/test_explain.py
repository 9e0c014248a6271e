"""Attention weights agree with the layer, and contributions of words add up to the similarity."""

import types
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax import explain
from minilm_jax.errors import InputError
from minilm_jax.explain import pair_contributions, word_contributions
from minilm_jax.nn.encoder import SelfAttention
from minilm_jax.nn.params import Params
from tests.helpers.compiled import attention_weights, embed, encode
from tests.helpers.small_heads import NLI, cross_encoder
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import ATTENTION_OUTPUT, ATTENTION_WEIGHTS, ATTENTION_WEIGHTS_INT8, CONTRIBUTION_SUM

PAIRS = [
    ("The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", {"cat", "sleeps"}),
    ("A kitten is napping in the sun.", "The cat sleeps on the warm windowsill.", {"kitten", "napping"}),
]


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_attention_weights_reproduce_the_output_of_the_layer(tiny_params: Params, layer: int) -> None:
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    batch = mj.Batch(np.arange(10).reshape(2, 5), mask)
    weights = attention_weights(tiny_params, batch, TINY, layer=layer)
    assert weights.shape == (2, TINY.num_attention_heads, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=0, atol=ATTENTION_WEIGHTS)
    np.testing.assert_array_equal(weights[1, :, :, 2:], 0)

    hidden = (encode(tiny_params, batch, TINY, output_hidden_states=True).hidden_states or ())[layer % 2]
    own = tiny_params["encoder"]["layer"][str(layer % 2)]["attention"]["self"]
    value = hidden @ own["value"]["kernel"] + own["value"]["bias"][None, None]
    mixed = jnp.einsum("bnts,bsnh->btnh", weights, value.reshape(2, 5, TINY.num_attention_heads, -1))
    wanted = SelfAttention(TINY).apply({"params": own}, hidden, jnp.asarray(mask, bool))
    np.testing.assert_allclose(mixed.reshape(2, 5, -1), np.asarray(wanted), rtol=0, atol=ATTENTION_OUTPUT)


def test_attention_weights_compile_and_accept_int8(tiny_params: Params) -> None:
    batch = mj.Batch(np.arange(4)[None], np.ones((1, 4), np.int32))
    wanted = explain.attention_weights(tiny_params, batch, TINY)
    compiled = attention_weights(tiny_params, batch, TINY, layer=1)
    np.testing.assert_allclose(compiled, wanted, rtol=0, atol=ATTENTION_WEIGHTS)
    quantized = attention_weights(mj.cast(tiny_params, "int8", TINY), batch, TINY)
    np.testing.assert_allclose(quantized, wanted, rtol=0, atol=ATTENTION_WEIGHTS_INT8)


@pytest.mark.parametrize("layer", [2, -3])
def test_attention_weights_reject_a_layer_that_does_not_exist(tiny_params: Params, layer: int) -> None:
    batch = mj.Batch(np.zeros((1, 3), np.int32), np.ones((1, 3), np.int32))
    with pytest.raises(InputError, match=f"layer is {layer}; the model has 2"):
        attention_weights(tiny_params, batch, TINY, layer=layer)


@pytest.mark.parametrize(("text", "other", "largest"), PAIRS)
def test_contributions_add_up_to_the_change_of_the_cosine(
    encoder: mj.SentenceEncoder, text: str, other: str, largest: set[str]
) -> None:
    contributions = word_contributions(encoder, text, other)
    ids = np.array([[piece.id for piece in encoder.tokenizer.pieces(text)]], np.int32)
    empty = np.zeros_like(ids)
    empty[0, [0, -1]] = ids[0, [0, -1]]
    batch = mj.Batch(np.concatenate([ids, empty]), np.ones((2, ids.shape[1]), np.int32))
    cosine, cosine_of_empty_text = np.asarray(embed(encoder.params, batch)) @ encoder.encode(other)
    assert sum(word.contribution for word in contributions) == pytest.approx(
        cosine - cosine_of_empty_text, abs=CONTRIBUTION_SUM
    )
    assert {word.word for word in sorted(contributions, key=lambda word: -word.contribution)[:2]} == largest


def test_contributions_are_of_whole_words_as_written_in_the_text(encoder: mj.SentenceEncoder) -> None:
    text = "Napping  on a\nWindowsill, naïvely!"
    words = word_contributions(encoder, text, "sleep")
    assert [word.word for word in words] == ["Napping", "on", "a", "Windowsill", ",", "naïvely", "!"]
    assert all(text[word.start : word.end] == word.word for word in words)


def test_contributions_cover_only_the_words_that_are_embedded(encoder: mj.SentenceEncoder) -> None:
    assert word_contributions(encoder, "", "sleep") == []
    short = mj.SentenceEncoder(encoder.params, encoder.config, encoder.tokenizer, max_seq_length=12)
    assert [word.word for word in word_contributions(short, "nap " * 300, "sleep")] == ["nap"] * 10


def test_contributions_reject_an_int8_encoder(tiny_params: Params) -> None:
    quantized: Any = types.SimpleNamespace(params=mj.cast(tiny_params, "int8", TINY))
    with pytest.raises(InputError, match="an int8 model has no gradients"):
        word_contributions(quantized, "a", "b")


def test_contributions_to_a_score_add_up_to_its_change(folder: Path) -> None:
    model, query, document = cross_encoder(folder, NLI), "How many people live in Berlin?", "Berlin has 3 million."
    found = pair_contributions(model, query, document, label=2)
    assert [word.word for word in found.second] == ["Berlin", "has", "3", "million", "."]
    assert all(query[word.start : word.end] == word.word for word in found.first)
    batch = mj.Batch(**model.tokenize([(query, document)]))
    separators = np.flatnonzero(batch.input_ids[0] == 102)
    logit = np.asarray(mj.classify(model.params, batch))[0, 2]
    for words, tokens in (
        (found.first, slice(1, separators[0])),
        (found.second, slice(separators[0] + 1, separators[1])),
    ):
        ids = batch.input_ids.copy()
        ids[0, tokens] = 0
        without = np.asarray(mj.classify(model.params, batch._replace(input_ids=ids)))[0, 2]
        total = sum(word.contribution for word in words)
        assert total == pytest.approx(logit - without, abs=CONTRIBUTION_SUM)
        assert abs(total) > CONTRIBUTION_SUM


def test_contributions_of_a_pair_reject_a_label_that_does_not_exist(folder: Path) -> None:
    with pytest.raises(InputError, match="label is 3; the model has 3"):
        pair_contributions(cross_encoder(folder, NLI), "a", "b", label=3)
