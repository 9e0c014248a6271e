"""`python -m benchmarks.quality`: what each precision costs in quality, on the real weights."""

import argparse
import json
import os
import platform
import re
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.graded_pairs import ODD, Sample, sample

Floats = NDArray[np.floating]

_PAGE_FILE = Path(__file__).parents[1] / "docs" / "quality.md"
_PACKAGES = ("minilm-jax", "jax", "jaxlib", "numpy", "tokenizers")
_QUERIES, _NEIGHBOURS, _RESAMPLES = 500, 10, 200
_COLUMNS = ("vectors", "cosine", "1st percentile", "minimum", "top 10", "nearest", "ranks", "grades", "difference")

_PAGE = """\
# Quality

Written by `make quality`; do not edit. What each precision costs, on the weights of all-MiniLM-L6-v2.

{table}

- cosine, 1st percentile, minimum: of a text's vector with its float32 vector, over {corpus:,} texts that ship with
  Python: two fifths sentences, one tenth passages of 240 tokens, {odd} odd ones, the rest docstrings as they are, with
  code and tables. What is over 256 tokens was cut.
- top 10, nearest, ranks: {queries} of these texts look for their like among the others. How many of the ten nearest are
  float32's ten nearest, how often the nearest is the same, and Spearman's correlation of all cosines.
- grades: Spearman's correlation of the cosines of {pairs:,} pairs of sentences with how related they should be: of
  nothing in common (0), one package or module (1), one class, or functions of one module (2), one docstring (3); as
  many of each. The grades are derived from where the sentences stand, not from human judgement: they compare the rows
  of this table and nothing else. Difference: from float32, ± two standard errors, by drawing the pairs anew.

The odd texts one by one, cosine with float32:

{odd_table}

{machine}
"""


def main() -> None:
    """Measures every precision, prints the tables and writes the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--texts", type=int, default=4000, help="how many texts (default: 4000)")
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="the page to write (default: docs/quality.md)")
    parser.add_argument("--write-texts", type=Path, metavar="FILE.json", help="write the texts, to embed elsewhere")
    parser.add_argument("--vectors", action="append", default=[], metavar="NAME=FILE.npy", help="compare them as well")
    arguments = parser.parse_args()
    asked = sample(arguments.texts)
    if arguments.write_texts:
        arguments.write_texts.write_text(json.dumps(asked.texts), "utf-8")
        return
    elsewhere = {name: np.load(file) for name, _, file in (option.partition("=") for option in arguments.vectors)}
    for name, rows in elsewhere.items():
        if len(rows) != len(asked.texts):
            parser.error(f"{name} has {len(rows)} vectors, for {len(asked.texts)} texts; see --write-texts.")
    page = _page({**dict(_embedded(asked.texts)), **elsewhere}, asked)
    print(page)
    arguments.out.write_text(page, "utf-8")


def _embedded(texts: list[str]) -> Iterator[tuple[str, Floats]]:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # Long texts are meant to be among them.
    warnings.filterwarnings("ignore", ".*were cut there")
    from minilm_jax import SentenceEncoder
    from minilm_jax.config import Precision
    from minilm_jax.runtime.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    for precision in get_args(Precision):
        yield precision, SentenceEncoder.from_pretrained(precision=precision).encode(texts)


def _page(vectors: Mapping[str, Floats], asked: Sample) -> str:
    unit = {name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in vectors.items()}
    reference, odd = unit["float32"], len(ODD)
    rows = [
        (name, *fidelity(own, reference, asked.corpus), *agreement(own, reference, asked)) for name, own in unit.items()
    ]
    cosines = [[f"{cosine:.5f}" for cosine in np.vecdot(each[:odd], reference[:odd])] for each in unit.values()]
    odd_table = _table([("text", *unit), *zip(ODD, *cosines, strict=True)])
    counts = {"corpus": asked.corpus, "odd": odd, "queries": _QUERIES, "pairs": len(asked.pairs)}
    return _PAGE.format(table=_table([_COLUMNS, *rows]), odd_table=odd_table, machine=_machine(), **counts)


def fidelity(vectors: Floats, reference: Floats, corpus: int) -> list[str]:
    """Returns what is left of the float32 vectors: their cosines, and the order of neighbours; cells of a row."""
    cosines = np.vecdot(vectors, reference)[:corpus]
    queries, others = np.split(np.random.default_rng(0).permutation(corpus), [_QUERIES])
    theirs, ours = (side[queries] @ side[others].T for side in (reference, vectors))
    orders = [np.argsort(-side, axis=1)[:, :_NEIGHBOURS] for side in (theirs, ours)]
    overlap = np.mean([len(np.intersect1d(a, b)) / _NEIGHBOURS for a, b in zip(*orders, strict=True)])
    nearest = np.mean(orders[0][:, 0] == orders[1][:, 0])
    rank = np.mean([spearman(a, b) for a, b in zip(theirs, ours, strict=True)])
    exact = [f"{value:.5f}" for value in (cosines.mean(), np.percentile(cosines, 1), cosines.min())]
    return [*exact, f"{overlap:.1%}", f"{nearest:.1%}", f"{rank:.5f}"]


def agreement(vectors: Floats, reference: Floats, asked: Sample) -> list[str]:
    """Returns how well cosines follow the grades, and by how much better than float32's do; cells of a row."""
    theirs, ours = (np.vecdot(*(side[rows] for rows in asked.pairs.T)) for side in (reference, vectors))
    grades, generator = asked.grades, np.random.default_rng(0)
    draws = (generator.integers(len(grades), size=len(grades)) for _ in range(_RESAMPLES))
    gains = [spearman(ours[rows], grades[rows]) - spearman(theirs[rows], grades[rows]) for rows in draws]
    found = spearman(ours, grades)
    return [f"{found:.4f}", f"{found - spearman(theirs, grades):+.4f} ± {2 * np.std(gains):.4f}"]


def spearman(left: Floats | NDArray[np.intp], right: Floats | NDArray[np.intp]) -> float:
    """Returns the correlation of the ranks of two rows of numbers."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def _ranks(values: NDArray[np.floating | np.intp]) -> Floats:
    # Equal numbers share the mean of their ranks.
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "")
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)]
    return f"- CPU: {names[0] if names else platform.machine()}\n- versions: {', '.join(versions)}"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    lines = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (rows[0], rule, *rows[1:]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
