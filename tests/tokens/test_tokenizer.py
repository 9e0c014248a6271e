"""Tokenization: special tokens, truncation counts, unusual texts, and errors that name the input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minilm_jax as mj
from minilm_jax.tokens.tokenizer import TextTokenizer

CLS, SEP = 101, 102


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> TextTokenizer:
    return TextTokenizer(folder / "tokenizer.json")


def ids(tokenizer: TextTokenizer, text: str, limit: int = 256) -> list[int]:
    return tokenizer([text], limit).tokens.ids.tolist()


def test_tokenizer_adds_cls_and_sep(tokenizer: TextTokenizer) -> None:
    assert ids(tokenizer, "Hello world") == [CLS, 7592, 2088, SEP]


def test_truncation_and_padding_stored_in_the_file_are_disabled(tokenizer: TextTokenizer) -> None:
    assert len(ids(tokenizer, "word " * 200)) == 202
    assert len(ids(tokenizer, "word")) == 3


def test_truncation_keeps_sep_and_is_counted(tokenizer: TextTokenizer) -> None:
    found = tokenizer(["one two three four", "one", "one two three"], 5)
    assert (found.truncated, found.longest) == (1, 6)
    assert found.tokens.lengths.tolist() == [5, 3, 5]
    assert ids(tokenizer, "one two three four", 5) == [*ids(tokenizer, "one two three")[:4], SEP]


@pytest.mark.parametrize("text", ["", "   \t\n", "\x00", "\x00\x00 ", "\u200b"])
def test_blank_text_gives_only_cls_and_sep(tokenizer: TextTokenizer, text: str) -> None:
    assert ids(tokenizer, text) == [CLS, SEP]


def test_nul_characters_are_ignored(tokenizer: TextTokenizer) -> None:
    assert ids(tokenizer, "Hello\x00 world") == ids(tokenizer, "Hello world")


def test_text_of_100000_characters_is_truncated(tokenizer: TextTokenizer) -> None:
    found = tokenizer(["hello " * 16_667], 512)
    assert (found.tokens.lengths.tolist(), found.truncated, found.longest) == ([512], 1, 16_669)


def test_many_texts_keep_their_order(tokenizer: TextTokenizer) -> None:
    texts = ["word " * (i % 7) for i in range(10_000)]
    found = tokenizer(texts)
    np.testing.assert_array_equal(found.tokens.lengths, [i % 7 + 2 for i in range(10_000)])


def test_empty_list_gives_no_tokens(tokenizer: TextTokenizer) -> None:
    found = tokenizer([])
    assert (len(found.tokens.ids), len(found.tokens.lengths), found.truncated, found.longest) == (0, 0, 0, 0)


@pytest.mark.parametrize("bad", [None, 3, b"bytes", float("nan"), ["nested"]])
def test_non_string_raises_error_with_its_index(tokenizer: TextTokenizer, bad: object) -> None:
    with pytest.raises(mj.InputError, match=f"text 1 is {type(bad).__name__}"):
        tokenizer(["fine", bad])  # pyright: ignore[reportArgumentType]


def test_lone_surrogate_raises_error_with_its_position(tokenizer: TextTokenizer) -> None:
    with pytest.raises(mj.InputError, match="text 2 has half a surrogate pair at character 3"):
        tokenizer(["fine", "\U0001f600", "abc\ud83d"])


def test_max_length_without_room_for_text_raises_error(tokenizer: TextTokenizer) -> None:
    with pytest.raises(mj.InputError, match="max_seq_length is 2"):
        tokenizer(["text"], 2)


def test_tokenize_returns_a_padded_batch() -> None:
    batch = mj.tokenize(["Hello world", "Hi"])
    assert batch.input_ids.shape == (2, 8)
    assert batch.input_ids[0].tolist() == [CLS, 7592, 2088, SEP, 0, 0, 0, 0]
    assert batch.attention_mask.sum(axis=1).tolist() == [4, 3]
    np.testing.assert_array_equal(mj.tokenize("Hello world").input_ids, batch.input_ids[:1])


def test_tokenize_of_empty_list_raises_error() -> None:
    with pytest.raises(mj.InputError, match="texts is empty"):
        mj.tokenize([])


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1, 2]"])
def test_damaged_tokenizer_file_raises_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(mj.ModelFileError, match=r"tokenizer\.json"):
        TextTokenizer(tmp_path / "tokenizer.json")


PARTS = [
    "cats ",
    "un",
    "believable",
    " ",
    "\n",
    "猫",
    "é",
    "e\u0301",
    "[MASK]",
    "[SEP]",
    "[",
    "MASK",
    "]",
    "😀",
    "x" * 120,
    ".",
]


@settings(deadline=None, max_examples=60)
@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=12), repeat=st.integers(1, 60))
def test_first_characters_give_the_same_tokens(tokenizer: TextTokenizer, parts: list[str], repeat: int) -> None:
    text = "".join(parts) * repeat
    for limit in (3, 8, 20):
        shorter = tokenizer.first_characters(text, limit)
        assert text.startswith(shorter)
        assert ids(tokenizer, shorter, limit) == ids(tokenizer, text, limit)
        assert tokenizer([shorter], limit).truncated == tokenizer([text], limit).truncated


def test_first_characters_of_a_long_text_are_few(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.first_characters("some words " * 100_000)) < 20_000
    assert len(tokenizer.first_characters("x" * 100_000)) == 100_000, "one word, which is one unknown token"
