"""Pairs of sentences from the docstrings of the standard library, scored by how closely they should be related."""

import ast
import collections
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.texts import SENTENCE_END

SCORES = range(4)

_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
# The pattern matches only prose, and only sentences that do not refer to the one before.
_SENTENCE = re.compile(r"(?!(?:Its?|They|Th[ieo]se?|That|Such|But|And|So|Then|See)\b)[A-Z][\w\s,;:'\"()*\-]*[.!?]")
_WORDS = range(6, 31)

# A location is listed from wide to narrow: package or module; class, or module outside of classes; function.
_Location = tuple[str, str, str]


class Passage(NamedTuple):
    """A text and its location.

    Attributes:
        location: Names of the package, the class and the function.
        text: The docstring, or one sentence of it.
    """

    location: _Location
    text: str


class Pair(NamedTuple):
    """Two sentences.

    Attributes:
        left: The sentence that is first in alphabetical order, so that a pair equals its mirror image.
        right: The other sentence.
        score: Number of levels of their locations that agree: 0 for nothing in common, 1 for one package or module,
            2 for one class, or functions of one module, 3 for one docstring.
    """

    left: str
    right: str
    score: int


def docstrings() -> Iterator[Passage]:
    """Yield the docstrings of the standard library, which is parsed, so that nothing is imported."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _LEFT_OUT.isdisjoint(parts):
            name = ".".join(parts)
            yield from _documented(ast.parse(path.read_bytes()), (parts[0], name, name))


def scored_pairs(documented: list[Passage], count: int) -> list[Pair]:
    """Return `count` pairs of sentences for each score; raise ValueError if there are fewer."""
    order, pairs, sentences = random.Random(0), list[Pair](), _sentences(documented)
    for score in SCORES:
        drawn = (pair for pair in _drawn(sentences, score, order) if pair.score == score and pair.left != pair.right)
        found = list(dict.fromkeys(drawn))
        if len(found) < count:
            raise ValueError(
                f"{count} pairs of score {score} were requested, but this Python's documentation has {len(found)}."
            )
        pairs += found[:count]
    return pairs


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef, location: _Location) -> Iterator[Passage]:
    if text := ast.get_docstring(node):
        yield Passage(location, text)
    for child in () if isinstance(node, ast.FunctionDef) else node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            package, scope, parent = location
            name = f"{parent}.{child.name}"
            yield from _documented(child, (package, name if isinstance(child, ast.ClassDef) else scope, name))


def _sentences(documented: list[Passage]) -> list[Passage]:
    # A sentence that occurs at several locations belongs to none of them.
    locations: dict[str, set[_Location]] = collections.defaultdict(set)
    for passage in documented:
        for sentence in filter(_SENTENCE.fullmatch, SENTENCE_END.split(passage.text)):
            if sentence.count("(") == sentence.count(")") and len(sentence.split()) in _WORDS:
                locations[" ".join(sentence.split())].add(passage.location)
    return [Passage(next(iter(at)), text) for text, at in locations.items() if len(at) == 1]


def _drawn(sentences: list[Passage], level: int, order: random.Random) -> Iterator[Pair]:
    """Yield each sentence, in random order, with another one from the same location up to a level."""
    near: dict[tuple[str, ...], list[Passage]] = collections.defaultdict(list)
    for sentence in sentences:
        near[sentence.location[:level]].append(sentence)
    for left in order.sample(sentences, len(sentences)):
        right = order.choice(near[left.location[:level]])
        agree = [a == b for a, b in zip(left.location, right.location, strict=True)]
        yield Pair(min(left.text, right.text), max(left.text, right.text), (*agree, False).index(False))
