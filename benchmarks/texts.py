"""Texts to embed, made from the documentation that ships with Python: the same ones for the same Python."""

import ast
import itertools
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")

# Prose only: tables and examples of code would be up to six tokens a word.
_SENTENCE = re.compile(r"[A-Z][\w\s,;:'\"()*\-]*[.!?]")

# Words a text, which come to about 15 and about 240 tokens.
_SHORT = range(6, 14)
_LONG = range(155, 186)


def short_texts(count: int) -> list[str]:
    """Returns single sentences of about 15 tokens, no two alike, in random order."""
    fitting = (text for text in map(_spaced, _sentences()) if len(text.split()) in _SHORT)
    return _sample(fitting, count)


def long_texts(count: int) -> list[str]:
    """Returns passages of about 240 tokens, in random order."""
    words = (word for text in _sentences() for word in text.split())
    lengths = random.Random(0)

    def passages() -> Iterator[str]:
        while passage := list(itertools.islice(words, lengths.choice(_LONG))):
            yield " ".join(passage)

    return _sample(passages(), count)


def _sample(texts: Iterator[str], count: int) -> list[str]:
    found = list(dict.fromkeys(texts))
    if len(found) < count:
        raise ValueError(f"this Python's documentation yields {len(found)} such texts, fewer than {count}.")
    return random.Random(0).sample(found, count)


def _sentences() -> Iterator[str]:
    for page in itertools.chain(topics.values(), _docstrings()):
        yield from filter(_SENTENCE.fullmatch, _SENTENCE_END.split(page))


def _docstrings() -> Iterator[str]:
    """Yields the docstrings of the standard library, parsed, so that no module is imported."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield text


def _spaced(text: str) -> str:
    return " ".join(text.split())
