"""`python -m benchmarks.quality`: measure how much accuracy each precision loses, with the real weights."""

import argparse
import dataclasses
import json
import os
import random
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.command import DOCS
from benchmarks.harness.machine import describe
from benchmarks.harness.report import facts, table
from benchmarks.related_sentences import docstrings, scored_pairs
from benchmarks.texts import long_texts, short_texts
from minilm_jax.config import Precision

Floats = NDArray[np.floating]

UNUSUAL = {
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

_PAGE_FILE = DOCS / "quality.md"
_QUERIES, _NEIGHBORS, _RESAMPLES, _PAIRS_PER_SCORE = 500, 10, 200, 500
_COLUMNS = ("vectors", "cosine", "1st percentile", "minimum", "top 10", "nearest", "ranks", "relatedness", "difference")

_PAGE = """\
# Quality

Written by `make quality`; do not edit. The accuracy of each precision, on the weights of all-MiniLM-L6-v2.

{table}

- cosine, 1st percentile, minimum: cosine similarity of each text's vector with its float32 vector, over {corpus:,}
  texts that are installed with Python: two fifths are sentences, one tenth passages of 240 tokens, {unusual} unusual
  texts, and the rest whole docstrings with code and tables. Texts are truncated at 256 tokens.
- top 10, nearest, ranks: {queries} of these texts are queries, and the others are searched. The share of float32's ten
  nearest texts among the ten nearest, how often the nearest text is the same, and Spearman's correlation of all
  cosines.
- relatedness: Spearman's correlation between the cosines of {pairs:,} pairs of sentences and the score of each pair: 0
  if they have nothing in common, 1 if they are from one package or module, 2 from one class or from functions of one
  module, 3 from one docstring; equally many of each. The scores come from the locations of the sentences, not from
  human judgment, so they only serve to compare the rows of this table.
- difference: of the relatedness from that of float32, ± two standard errors from resampled pairs.

Cosine similarity with float32 for each of the unusual texts:

{unusual_table}

{machine}
"""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Texts to embed, and pairs of them to compare.

    Attributes:
        texts: All texts, without duplicates: the unusual ones, the rest of the corpus, the sentences of the pairs.
        corpus: Number of texts in the corpus; they come first.
        pairs: Indices of the two sentences of each pair, int[n, 2].
        scores: How closely each pair should be related, int[n]; see `related_sentences.Pair`.
    """

    texts: list[str]
    corpus: int
    pairs: NDArray[np.intp]
    scores: NDArray[np.intp]


def main() -> None:
    """Measure every precision, print the page and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--texts", type=int, default=4000, help="number of texts (default: 4000)")
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="page to write (default: docs/quality.md)")
    parser.add_argument("--write-texts", type=Path, metavar="FILE.json", help="only write the texts")
    parser.add_argument("--vectors", action="append", default=[], metavar="NAME=FILE.npy", help="include these vectors")
    arguments = parser.parse_args()
    chosen = sample(arguments.texts)
    if arguments.write_texts:
        arguments.write_texts.write_text(json.dumps(chosen.texts), "utf-8")
        return
    elsewhere = {name: np.load(file) for name, _, file in (option.partition("=") for option in arguments.vectors)}
    for name, rows in elsewhere.items():
        if len(rows) != len(chosen.texts):
            parser.error(f"{name} has {len(rows)} vectors, for {len(chosen.texts)} texts; see --write-texts.")
    page = _page({**dict(_embedded(chosen.texts)), **elsewhere}, chosen)
    print(page)
    arguments.out.write_text(page, "utf-8")


def sample(count: int) -> Sample:
    """Return the sample; it is the same for every run with one version of Python.

    Args:
        count: Texts of the corpus: two fifths short, one tenth long, the rest docstrings with their tables and code.

    Returns:
        The sample, with equally many pairs of sentences for each score.

    Raises:
        ValueError: The documentation of this Python has fewer texts.
    """
    documented = list(docstrings())
    pages = sorted({passage.text for passage in documented})
    varied = short_texts(count * 2 // 5) + long_texts(count // 10) + random.Random(0).sample(pages, len(pages))
    corpus = list(dict.fromkeys([*UNUSUAL.values(), *varied]))[:count]
    pairs = scored_pairs(documented, _PAIRS_PER_SCORE)
    texts = list(dict.fromkeys([*corpus, *(text for pair in pairs for text in (pair.left, pair.right))]))
    row = {text: index for index, text in enumerate(texts)}
    rows = np.array([(row[pair.left], row[pair.right]) for pair in pairs])
    return Sample(texts, len(corpus), rows, np.array([pair.score for pair in pairs]))


def _embedded(texts: list[str]) -> Iterator[tuple[str, Floats]]:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # Some texts are too long on purpose, so the warning is hidden.
    warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")
    from minilm_jax import SentenceEncoder
    from minilm_jax.runtime.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    for precision in get_args(Precision):
        yield precision, SentenceEncoder.from_pretrained(precision=precision).encode(texts)


def _page(vectors: Mapping[str, Floats], chosen: Sample) -> str:
    unit = {name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in vectors.items()}
    reference, unusual = unit["float32"], len(UNUSUAL)
    rows = [
        (name, *fidelity(own, reference, chosen.corpus), *relatedness(own, reference, chosen))
        for name, own in unit.items()
    ]
    cosines = [[f"{cosine:.5f}" for cosine in np.vecdot(own[:unusual], reference[:unusual])] for own in unit.values()]
    one_by_one = [("text", *unit), *zip(UNUSUAL, *cosines, strict=True)]
    return render(chosen.corpus, len(chosen.pairs), table([_COLUMNS, *rows]), table(one_by_one), facts(describe()))


def render(corpus: int, pairs: int, measured: str, unusual_table: str, machine: str) -> str:
    """Return the page, given the numbers of texts and pairs, the two tables and the list of facts."""
    return _PAGE.format(
        table=measured,
        corpus=corpus,
        unusual=len(UNUSUAL),
        queries=_QUERIES,
        pairs=pairs,
        unusual_table=unusual_table,
        machine=machine,
    )


def fidelity(vectors: Floats, reference: Floats, corpus: int) -> list[str]:
    """Return how well vectors preserve the cosines and the neighbors of the float32 vectors, as cells of a row."""
    cosines = np.vecdot(vectors, reference)[:corpus]
    queries, others = np.split(np.random.default_rng(0).permutation(corpus), [_QUERIES])
    theirs, ours = (side[queries] @ side[others].T for side in (reference, vectors))
    orders = [np.argsort(-side, axis=1)[:, :_NEIGHBORS] for side in (theirs, ours)]
    overlap = np.mean([len(np.intersect1d(a, b)) / _NEIGHBORS for a, b in zip(*orders, strict=True)])
    nearest = np.mean(orders[0][:, 0] == orders[1][:, 0])
    rank = np.mean([spearman(a, b) for a, b in zip(theirs, ours, strict=True)])
    exact = [f"{value:.5f}" for value in (cosines.mean(), np.percentile(cosines, 1), cosines.min())]
    return [*exact, f"{overlap:.1%}", f"{nearest:.1%}", f"{rank:.5f}"]


def relatedness(vectors: Floats, reference: Floats, chosen: Sample) -> list[str]:
    """Return how well cosines match the scores of pairs, and the difference from float32, as cells of a row."""
    theirs, ours = (np.vecdot(*(side[rows] for rows in chosen.pairs.T)) for side in (reference, vectors))
    scores, generator = chosen.scores, np.random.default_rng(0)
    draws = (generator.integers(len(scores), size=len(scores)) for _ in range(_RESAMPLES))
    gains = [spearman(ours[rows], scores[rows]) - spearman(theirs[rows], scores[rows]) for rows in draws]
    found = spearman(ours, scores)
    return [f"{found:.4f}", f"{found - spearman(theirs, scores):+.4f} ± {2 * np.std(gains):.4f}"]


def spearman(left: Floats | NDArray[np.intp], right: Floats | NDArray[np.intp]) -> float:
    """Return the rank correlation of two arrays of values."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def _ranks(values: NDArray[np.floating | np.intp]) -> Floats:
    # Equal values share the mean of their ranks.
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


if __name__ == "__main__":
    main()
