"""Checks of the texts that users pass: one rule for every function that takes texts or pairs of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minilm_jax.errors import InputError

# Tables and mappings have `ndim` or one of these attributes, in pandas, Polars, pyarrow, Dask and others.
_TABLE_ATTRIBUTES = ("columns", "column_names", "keys")


def as_texts(texts: Iterable[str], name: str = "texts") -> list[str]:
    """Return texts as a list, after checking all of them.

    Args:
        texts: A list, a one-dimensional array, a column of a table or any other iterable of strings.
        name: Name of the argument, for messages.

    Raises:
        InputError: `texts` is one string, a table, a mapping or not an iterable, or an item is not a valid string.
    """
    return list(iterate_texts(texts, name))


def iterate_texts(texts: Iterable[str], name: str = "texts") -> Iterator[str]:
    """Return an iterator over texts that checks each of them; see `as_texts`.

    Raises:
        InputError: As for `as_texts`: at once for `texts` itself, and during the iteration for an item.
    """
    if isinstance(texts, str):
        raise InputError(f"{name} is one string, {texts!r:.60}; pass a list of strings.")
    if not _is_iterable(texts) or _is_table(texts):
        raise InputError(f"{name} is {type(texts).__name__}; pass a list of strings, or one column of a table.")
    if hasattr(texts, "to_pylist"):  # Arrays of pyarrow yield scalars of their own type.
        texts = texts.to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    return (check_text(text, index) for index, text in enumerate(texts))


def as_pairs(pairs: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    """Return pairs of texts as a list, after checking all of them.

    Args:
        pairs: A list or another iterable of pairs, such as tuples, lists or rows of an array [n, 2].

    Raises:
        InputError: `pairs` is not an iterable, or an item, which the message names by its index, is not a pair of valid
            strings.
    """
    if not _is_iterable(pairs) or isinstance(pairs, str | Mapping):
        raise InputError(f"pairs is {type(pairs).__name__}; pass a list of pairs, such as [(question, answer)].")
    return [_check_pair(pair, index) for index, pair in enumerate(pairs)]


def _check_pair(pair: Any, index: int) -> tuple[str, str]:
    if not _is_iterable(pair) or isinstance(pair, str | Mapping) or len(texts := list(pair)) != 2:
        raise InputError(f"pair {index} is {pair!r:.60}; it must be two texts, such as (question, answer).")
    try:
        first, second = (check_text(text, place) for place, text in enumerate(texts))
    except InputError as error:
        raise InputError(f"pair {index}: {error}") from None
    return first, second


def check_text(text: Any, index: int = 0) -> str:
    """Return a text, or raise InputError with its index if it is not a string or not valid Unicode."""
    if not isinstance(text, str):
        raise InputError(f"text {index} is {type(text).__name__}, not str: {text!r:.60}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"text {index} has half a surrogate pair at character {error.start}, so it is not valid Unicode."
            " Clean it with text.encode('utf-8', 'replace').decode()."
        ) from None
    return text


def _is_iterable(texts: Any) -> bool:
    return isinstance(texts, Iterable) and not isinstance(texts, bytes | bytearray)


def _is_table(texts: Any) -> bool:
    """Return whether iterating over an object may yield the names of columns, or rows, instead of texts."""
    if (axes := getattr(texts, "ndim", None)) is not None:
        return axes != 1
    return any(hasattr(texts, attribute) for attribute in _TABLE_ATTRIBUTES)
