"""Pairs of texts: ids, token types and truncation as in transformers, padded and packed."""

from pathlib import Path

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.tokens.packed_rows import NO_TEXT, pack
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.tolerances import UNIT_VECTORS

CLS, SEP = 101, 102
PAIRS = [("how many people", "three million"), ("", "empty first"), ("empty second", ""), ("", ""), ("a", "b " * 40)]


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> TextTokenizer:
    return TextTokenizer(folder / "tokenizer.json")


def test_pair_is_wrapped_and_its_second_text_has_another_type(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.pairs([("hello", "world world")]).tokens
    assert tokens.ids.tolist() == [CLS, 7592, SEP, 2088, 2088, SEP]
    assert tokens.first_lengths is not None
    assert tokens.first_lengths.tolist() == [3]


def test_longer_text_is_truncated_first(tokenizer: TextTokenizer) -> None:
    found = tokenizer.pairs([("a a", "b b b b b b"), ("a a a a a", "b"), ("a", "b"), ("a a a a", "b b b b")], 7)
    assert found.tokens.lengths.tolist() == [7, 7, 5, 7]
    assert found.tokens.first_lengths is not None
    assert found.tokens.first_lengths.tolist() == [4, 5, 3, 4]
    assert (found.truncated, found.longest) == (3, 11)


def test_pairs_need_room_for_a_token_of_text(tokenizer: TextTokenizer) -> None:
    with pytest.raises(mj.InputError, match="max_seq_length is 3; it must be at least 4"):
        tokenizer.pairs(PAIRS, 3)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["ab"], "pair 0 is 'ab'; it must be two texts"),
        ([("a", "b"), ("a",)], "pair 1 is .*; it must be two texts"),
        ([("a", "b", "c")], "pair 0 is .*; it must be two texts"),
        ([("a", None)], "pair 0: text 1 is NoneType"),
        ([{"a": 1, "b": 2}], "pair 0 is .*; it must be two texts"),
        ("ab", "pairs is str"),
        (None, "pairs is NoneType"),
    ],
)
def test_items_that_are_no_pairs_are_named(tokenizer: TextTokenizer, pairs: object, message: str) -> None:
    with pytest.raises(mj.InputError, match=message):
        tokenizer.pairs(pairs)  # pyright: ignore[reportArgumentType]


def test_no_pairs_give_no_tokens(tokenizer: TextTokenizer) -> None:
    found = tokenizer.pairs([])
    assert (len(found.tokens.lengths), found.truncated, found.longest) == (0, 0, 0)


def test_tokenize_takes_a_list_of_pairs(folder: Path) -> None:
    batch = mj.tokenize([("hello", "world"), ("hello world", "hello")], source=folder)
    np.testing.assert_array_equal(batch.token_type_ids, [[0, 0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0]])
    assert not mj.tokenize(["hello", "world"], source=folder).token_type_ids.any()
    with pytest.raises(mj.InputError, match="pair 1 is"):
        mj.tokenize([("hello", "world"), "hello"], source=folder)  # pyright: ignore[reportArgumentType]


def test_packed_pairs_have_the_vectors_of_padded_ones(tokenizer: TextTokenizer, params: mj.EncoderParams) -> None:
    tokens = tokenizer.pairs(PAIRS).tokens
    padded = np.asarray(mj.embed(params, tokens.pad(np.arange(5), (5, 48))))
    texts = np.array([[0, 1, 2, 3], [4, NO_TEXT, NO_TEXT, NO_TEXT]])
    packed = np.asarray(mj.embed(params, pack(tokens, texts, 64)))
    np.testing.assert_allclose(packed[texts != NO_TEXT], padded, rtol=0, atol=UNIT_VECTORS)


def test_token_types_change_the_vectors(tokenizer: TextTokenizer, params: mj.EncoderParams) -> None:
    batch = tokenizer.pairs(PAIRS[:1]).tokens.pad(np.arange(1), (1, 16))
    with_types, without = mj.embed(params, batch), mj.embed(params, batch._replace(token_type_ids=None))
    assert float(np.abs(with_types - without).max()) > 1e-3


def test_first_lengths_need_the_shape_of_lengths(tokenizer: TextTokenizer, params: mj.EncoderParams) -> None:
    batch = pack(tokenizer.pairs(PAIRS).tokens, np.array([[0, 1]]), 32)
    with pytest.raises(mj.InputError, match=r"first_lengths has shape \(1, 1\), lengths \(1, 2\)"):
        mj.embed(params, batch._replace(first_lengths=np.ones((1, 1), np.int32)))
