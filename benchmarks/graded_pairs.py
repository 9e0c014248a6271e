"""Texts to judge vectors by: varied ones, odd ones, and pairs of sentences graded by how near they stand."""

import ast
import collections
import dataclasses
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.texts import long_texts, short_texts

ODD = {
    "empty": "",
    "one word": "cat",
    "one letter": "x",
    "punctuation": "?!… --- ,,, ;",
    "all capitals": "READ THIS BEFORE YOU OPEN THE BOX OR CALL THE NUMBER BELOW",
    "digits": "3.14159 2.71828 1.41421 299792458 6.02214076e23 -273.15",
    "URL": "https://www.example.org/a/b/c?query=word&page=2#part-3",
    "code": "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }  // dot product",
    "JSON": '{"id": 17, "tags": ["a", "b"], "price": {"value": 9.99, "currency": "EUR"}}',
    "Chinese": "今天天气很好，我们去公园散步吧。",
    "Arabic": "السماء صافية اليوم والطقس جميل.",
    "Russian": "Сегодня хорошая погода, и мы идём гулять в парк.",
    "German": "Der Donaudampfschifffahrtsgesellschaftskapitän trank gemütlich Kaffee über den Dächern.",
    "emoji": "😀🎉🚀 ❤️👩‍👩‍👧‍👦 🐍",
    "very long word": "pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
    "repeated token": "spam " * 300,
    "two languages": "The word 猫 means cat, und das heißt Katze.",
}

_PAIRS = 500
_GRADES = range(4)
_NOT_DOCUMENTATION = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
# Prose only, and nothing that means something only after the sentence before it.
_SENTENCE = re.compile(r"(?!(?:Its?|They|Th[ieo]se?|That|Such|But|And|So|Then|See)\b)[A-Z][\w\s,;:'\"()*\-]*[.!?]")
_WORDS = range(6, 31)


# From wide to narrow: package or module; class, or module outside of classes; function.
_Place = tuple[str, str, str]
# Two sentences, and how many levels of their places agree.
_Pair = tuple[str, str, int]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Texts to embed, and what is asked of their vectors.

    Attributes:
        texts: All of them, no two alike: the odd ones, the rest of the corpus, the sentences of the pairs.
        corpus: How many of them, from the first on, are the corpus.
        pairs: Index of the left and of the right sentence of each pair, int[n, 2].
        grades: How related each pair should be: 0 nothing in common, 1 one package or module, 2 one class, or functions
            of one module, 3 one docstring; int[n].
    """

    texts: list[str]
    corpus: int
    pairs: NDArray[np.intp]
    grades: NDArray[np.intp]


class _Passage(NamedTuple):
    place: _Place
    text: str


def sample(count: int) -> Sample:
    """Puts the texts together, the same ones for the same Python.

    Args:
        count: Texts of the corpus: two fifths short, one tenth long, else docstrings as they are, tables and all.

    Returns:
        The sample, with pairs of sentences, as many of each grade.

    Raises:
        ValueError: The documentation of this Python yields fewer texts.
    """
    documented = list(_docstrings())
    pages = sorted({passage.text for passage in documented})
    varied = short_texts(count * 2 // 5) + long_texts(count // 10) + random.Random(0).sample(pages, len(pages))
    corpus = list(dict.fromkeys([*ODD.values(), *varied]))[:count]
    pairs = _graded_pairs(_sentences(documented), _PAIRS)
    texts = list(dict.fromkeys([*corpus, *(text for left, right, _ in pairs for text in (left, right))]))
    row = {text: index for index, text in enumerate(texts)}
    rows = np.array([(row[left], row[right]) for left, right, _ in pairs])
    return Sample(texts, len(corpus), rows, np.array([grade for *_, grade in pairs]))


def _docstrings() -> Iterator[_Passage]:
    """Yields the docstrings of the standard library, parsed, so that no module is imported."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _NOT_DOCUMENTATION.isdisjoint(parts):
            name = ".".join(parts)
            yield from _documented(ast.parse(path.read_bytes()), (parts[0], name, name))


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef, place: _Place) -> Iterator[_Passage]:
    if text := ast.get_docstring(node):
        yield _Passage(place, text)
    for child in () if isinstance(node, ast.FunctionDef) else node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            name = f"{place[2]}.{child.name}"
            yield from _documented(child, (place[0], name if isinstance(child, ast.ClassDef) else place[1], name))


def _sentences(documented: list[_Passage]) -> list[_Passage]:
    # A sentence that stands at several places is of none of them.
    places: dict[str, set[_Place]] = collections.defaultdict(set)
    for passage in documented:
        for sentence in filter(_SENTENCE.fullmatch, _SENTENCE_END.split(passage.text)):
            if sentence.count("(") == sentence.count(")") and len(sentence.split()) in _WORDS:
                places[" ".join(sentence.split())].add(passage.place)
    return [_Passage(next(iter(at)), text) for text, at in places.items() if len(at) == 1]


def _graded_pairs(sentences: list[_Passage], count: int) -> list[_Pair]:
    order, pairs = random.Random(0), list[_Pair]()
    for grade in _GRADES:
        drawn = (pair for pair in _drawn(sentences, grade, order) if pair[2] == grade and pair[0] != pair[1])
        found = list(dict.fromkeys(drawn))
        if len(found) < count:
            raise ValueError(f"{len(found)} pairs of grade {grade} in this Python's documentation, fewer than {count}.")
        pairs += found[:count]
    return pairs


def _drawn(sentences: list[_Passage], level: int, order: random.Random) -> Iterator[_Pair]:
    """Yields each sentence with one whose place agrees down to the level, in random order."""
    near: dict[tuple[str, ...], list[_Passage]] = collections.defaultdict(list)
    for sentence in sentences:
        near[sentence.place[:level]].append(sentence)
    for left in order.sample(sentences, len(sentences)):
        right = order.choice(near[left.place[:level]])
        agree = [a == b for a, b in zip(left.place, right.place, strict=True)]
        # In the order of the alphabet, so that a pair and its mirror image are alike.
        yield min(left.text, right.text), max(left.text, right.text), (*agree, False).index(False)
