"""Functions that take texts reject one string, tables and other objects that iterate over names."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

import minilm_jax as mj
from minilm_jax import search
from minilm_jax.shared_encoders import embed_texts
from minilm_jax.tokens.texts import as_texts, iterate_texts


class Frame:
    """Iterates over the names of its columns, like tables of pandas and Dask."""

    ndim = 2

    def __iter__(self) -> Iterator[str]:
        return iter(["title", "body"])


class PolarsFrame:
    """Has no `ndim`."""

    columns = ("title", "body")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class Column:
    """Iterates over texts, like a column of pandas."""

    ndim = 1

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b"])


class Names:
    """A mapping without its base class."""

    def keys(self) -> list[str]:
        return ["title"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


NOT_TEXTS = [Frame(), Names(), PolarsFrame(), pa.table({"title": ["a"], "body": ["b"]}), {"title": "a"}, b"ab", None, 3]
FUNCTIONS: dict[str, Callable[[mj.SentenceEncoder, Any], object]] = {
    "encode": lambda encoder, texts: encoder.encode(texts),
    "encode_query": lambda encoder, texts: encoder.encode_query(texts),
    "encode_document": lambda encoder, texts: encoder.encode_document(texts),
    "encode_stream": lambda encoder, texts: encoder.encode_stream(texts),
    "SentenceEncoder.tokenize": lambda encoder, texts: encoder.tokenize(texts),
    "tokenize": lambda _, texts: mj.tokenize(texts),
    "TextTokenizer": lambda encoder, texts: encoder.tokenizer(texts),
    "SearchIndex.build": lambda encoder, texts: search.SearchIndex.build(encoder, texts),
    "SearchIndex.search": lambda encoder, texts: search.SearchIndex(encoder).search(texts),
    "paraphrase_mining": lambda encoder, texts: search.paraphrase_mining(encoder, texts),
    "embed_texts": lambda _, texts: embed_texts(texts, "all-MiniLM-L6-v2", "float32"),
}
ACCEPT_ONE_STRING = {"encode", "encode_query", "encode_document", "SentenceEncoder.tokenize", "tokenize"}


@pytest.mark.parametrize("texts", NOT_TEXTS, ids=lambda texts: type(texts).__name__)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_objects_that_do_not_iterate_over_texts_are_rejected(
    name: str, texts: Any, encoder: mj.SentenceEncoder
) -> None:
    with pytest.raises(mj.InputError, match=f"is {type(texts).__name__}; pass a list of strings"):
        FUNCTIONS[name](encoder, texts)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - ACCEPT_ONE_STRING - {"SearchIndex.search"}))
def test_letters_of_one_string_are_not_texts(name: str, encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="is one string, 'abc'; pass a list of strings"):
        FUNCTIONS[name](encoder, "abc")


@pytest.mark.parametrize(
    "texts", [["a", "b"], ("a", "b"), iter("ab"), Column(), {"a": 0, "b": 1}.keys(), pa.array(["a", "b"])]
)
def test_every_iterable_of_texts_is_accepted(texts: Any) -> None:
    assert as_texts(texts) == ["a", "b"]


def test_texts_are_checked_while_they_are_read() -> None:
    texts = iterate_texts(["a", 5])  # pyright: ignore[reportArgumentType]
    assert next(texts) == "a"
    with pytest.raises(mj.InputError, match="text 1 is int, not str: 5"):
        next(texts)


def test_error_in_a_stream_names_the_position_in_the_whole_stream(encoder: mj.SentenceEncoder) -> None:
    position = encoder.chunk + 3
    texts: Any = (None if index == position else "same text" for index in range(position + 9))
    with pytest.raises(mj.InputError, match=f"text {position} is NoneType"):
        list(encoder.encode_stream(texts))
