"""Texts to embed, made from the prose that is installed with Python: the same Python gives the same texts."""

import ast
import functools
import itertools
import random
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")

# The pattern matches only prose, because tables and code examples would have up to six tokens per word.
_SENTENCE = re.compile(r"[A-Z][\w\s,;:'\"()*\-]*[.!?]")

_COMMENTS = re.compile(r"(?:^[ \t]*#.*\n)+", re.MULTILINE)
_COMMENT_SIGNS = re.compile(r"^[ \t]*#+", re.MULTILINE)

# These folders of the standard library are not in every Python, or contain no prose.
_LEFT_OUT = {"site-packages", "dist-packages", "test", "lib2to3"}

# These numbers of words per text give about 15 tokens (short), about 240 (long) and 5 to 256 (mixed).
_SHORT = range(6, 14)
_LONG = range(155, 186)
_MIXED = range(3, 186)
_CALIBRATION = range(3, 150)

# One in eight sentences is reserved for calibration and occurs in no text that is measured.
_HELD_OUT = 8


def short_texts(count: int) -> list[str]:
    """Return different sentences of about 15 tokens, in random order."""
    return _sample([text for text in _measured() if len(text.split()) in _SHORT], count)


def mixed_texts(count: int) -> list[str]:
    """Return passages of 5 to 256 tokens, equally many of each length, in random order."""
    return _sample(_passages(_measured(), _MIXED), count)


def long_texts(count: int) -> list[str]:
    """Return passages of about 240 tokens, in random order."""
    return _sample(_passages(_measured(), _LONG), count)


def texts_of_kind(kind: str, count: int) -> list[str]:
    """Return texts of a kind: "short", "mixed" or "long"."""
    return {"short": short_texts, "mixed": mixed_texts, "long": long_texts}[kind](count)


def calibration_texts(count: int) -> list[str]:
    """Return passages that share no sentence with any other text here, for peers that need calibration."""
    return _sample(_passages(_sentences()[::_HELD_OUT], _CALIBRATION), count)


def recombined_texts(count: int) -> list[str]:
    """Return any number of texts of random words, of about 15 tokens each."""
    words, chosen = list(_words(_measured())), random.Random(0)
    return [" ".join(chosen.choices(words, k=chosen.choice(_SHORT))) for _ in range(count)]


def _passages(sentences: Iterable[str], lengths: Sequence[int]) -> list[str]:
    words, chosen = _words(sentences), random.Random(0)
    return list(iter(lambda: " ".join(itertools.islice(words, chosen.choice(lengths))), ""))


def _words(sentences: Iterable[str]) -> Iterator[str]:
    return (word for text in sentences for word in text.split())


def _sample(texts: Iterable[str], count: int) -> list[str]:
    found = list(dict.fromkeys(texts))
    if len(found) < count:
        raise ValueError(
            f"{count} texts were requested, but this Python's documentation has only {len(found)} of this kind."
        )
    return random.Random(0).sample(found, count)


def _measured() -> list[str]:
    return [text for index, text in enumerate(_sentences()) if index % _HELD_OUT]


@functools.cache
def _sentences() -> Sequence[str]:
    """Return all sentences, without duplicates."""
    pages = itertools.chain(topics.values(), *map(_prose, _library()))
    found = (text for page in pages for text in filter(_SENTENCE.fullmatch, SENTENCE_END.split(page)))
    return list(dict.fromkeys(" ".join(text.split()) for text in found))


def _library() -> Iterator[str]:
    folder = Path(sysconfig.get_path("stdlib"))
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] not in _LEFT_OUT:
            yield path.read_text("utf-8", "replace")


def _prose(source: str) -> Iterator[str]:
    """Yield the docstrings and comments of a source file, which is parsed, so that nothing is imported."""
    yield from (_COMMENT_SIGNS.sub("", found) for found in _COMMENTS.findall(source))
    # The file may have invalid escape sequences.
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield text
