"""Untrusted tokenizers: each raises `ModelFileError` within bounded time and memory, even if the library panics."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import minilm_jax as mj
from minilm_jax.nn.params import Params
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.limits import bounded
from tests.helpers.small_tokenizer import CLS, SEP, WORDS, write_tokenizer
from tests.helpers.tiny_model import TINY

LONGEST_MESSAGE = 1_000


def assert_error(path: Path) -> None:
    """Assert that loading or using the tokenizer raises a short error that names the file."""
    with bounded(megabytes=64), pytest.raises(mj.ModelFileError) as caught:
        TextTokenizer(path)(["hello world ac zzz", "a" * 28 + "b"])
    assert path.name in str(caught.value)
    assert "MemoryError" not in str(caught.value)
    assert len(str(caught.value)) < LONGEST_MESSAGE


def test_unchanged_small_tokenizer_works(tmp_path: Path) -> None:
    assert TextTokenizer(write_tokenizer(tmp_path))(["hello ac"]).tokens.ids.tolist() == [2, 7, 4, 6, 3]


def test_tokenizer_truncated_anywhere_raises_error(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path)
    whole = path.read_bytes()
    for kept in range(0, len(whole), 16):
        path.write_bytes(whole[:kept])
        assert_error(path)


@given(st.binary(max_size=2_000))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_tokenizer_of_random_bytes_raises_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    # A subfolder, because the converter also looks for a tokenizer in the parent of its folder: that of other tests.
    path = tmp_path_factory.getbasetemp() / "any-bytes" / "tokenizer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    assert_error(path)


def test_deeply_nested_tokenizer_raises_error(tmp_path: Path) -> None:
    for content in (b"[" * 10**7, b'{"normalizer":' + b'{"type":"Sequence","normalizers":[' * 10**4):
        (tmp_path / "tokenizer.json").write_bytes(content)
        assert_error(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("version", "9.0"),
        ("model.type", "Foo"),
        ("model.type", "F" * 10**6),
        ("model.type", "BPE"),
        ("model.type", "Unigram"),
        ("model", {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}),
        ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "nope"}),
        ("model", {"type": "Unigram", "unk_id": None, "vocab": []}),
        ("model.vocab", {}),
        ("model.vocab", {"hello": 0}),
        ("model.vocab", WORDS | {"zzz": -1}),
        ("model.vocab", WORDS | {"zzz": 2**31}),
        ("model.vocab", WORDS | {"zzz": 2**32 - 1}),
        ("model.vocab", WORDS | {"zzz": 2**40}),
        ("post_processor", None),
        ("post_processor", {"type": "BertProcessing", "sep": ["[SEP]", 2**32 - 1], "cls": ["[CLS]", 101]}),
        ("post_processor.special_tokens.[CLS].ids", []),
        ("post_processor.special_tokens.[CLS].ids", [2] * 1_000),
        ("post_processor.special_tokens.[CLS].ids", [2**32 - 1]),
        ("post_processor.special_tokens", {}),
        ("post_processor.single", [CLS, {"Sequence": {"id": "B", "type_id": 0}}, SEP]),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": ""}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA="}),
        ("pre_tokenizer", {"type": "FixedLength", "length": 0}),
    ],
    ids=str,
)
def test_hostile_tokenizer_value_raises_error(tmp_path: Path, place: str, value: Any) -> None:
    assert_error(write_tokenizer(tmp_path, place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [("model.vocab", WORDS | {"zzz": 99}), ("post_processor.special_tokens.[CLS].ids", [99])],
    ids=["word", "special token"],
)
def test_token_ids_outside_the_embedding_table_raise_error(
    tiny_params: Params, tmp_path: Path, place: str, value: Any
) -> None:
    with pytest.raises(mj.ModelFileError, match="the tokenizer has 100 tokens, but the model has 99"):
        mj.SentenceEncoder(tiny_params, TINY, TextTokenizer(write_tokenizer(tmp_path, place, value)), 16)
