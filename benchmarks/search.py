"""`python -m benchmarks.search`: exact search in a million vectors, compared with NumPy, faiss and usearch."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.command import DOCS
from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.machine import conditions, describe
from benchmarks.harness.measuring import calls, in_turns
from benchmarks.harness.report import facts, table
from benchmarks.harness.results import OURS
from benchmarks.peers import Vectors

_PAGE_FILE = DOCS / "search-speed.md"
_DIMENSIONS, _TOP_K = 384, 10
# Rounds by number of queries.
_ROUNDS = {1: 9, 10: 9, 100: 3}
_COLUMNS = ("queries", "contender", "first call", "ms", "fastest – slowest", "time ratio", "recall")

# A search maps queries, float32[Q, D], to the rows of the nearest vectors, [Q, k].
Search: TypeAlias = Callable[[Vectors], NDArray[np.integer]]

_PAGE = """\
# Search speed

Written by `make bench-search`; do not edit. Exact search in {count:,} unit vectors, {dimensions} × float32, for the
{top_k} with the highest dot product. Times are milliseconds per call: the median of several rounds ({rounds} queries),
in which all contenders run in turns, and the fastest and slowest round.

{table}

- The vectors are in a file, `np.load(path, mmap_mode="r")`, which fits into memory; faiss copies them.
- first call: milliseconds of the first call with this number of queries, in which minilm-jax compiles its program for
  100 queries.
- minilm-jax: `semantic_search` with `dot_score`, which returns lists of dicts.
- numpy: a matrix product, `argpartition` and a sort. faiss: `IndexFlatIP`. usearch: `search(…, exact=True)`.
- time ratio: the time of minilm-jax divided by that of the contender, the median of all rounds; below 1, minilm-jax is
  faster.
- recall: the share of the rows that NumPy finds.

{machine}
"""


def _ours(vectors: Vectors) -> Search:
    from minilm_jax.search import dot_score, semantic_search

    def search(queries: Vectors) -> NDArray[np.integer]:
        results = semantic_search(queries, vectors, top_k=_TOP_K, score_function=dot_score)
        return np.array([[hit["corpus_id"] for hit in hits] for hits in results])

    return search


def _by_numpy(vectors: Vectors) -> Search:
    def search(queries: Vectors) -> NDArray[np.integer]:
        scores = queries @ vectors.T
        top = np.argpartition(-scores, _TOP_K, axis=1)[:, :_TOP_K]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        return np.take_along_axis(top, order, axis=1)

    return search


def _by_faiss(vectors: Vectors) -> Search:
    import faiss  # pyright: ignore[reportMissingImports] only in the environment for peers

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda queries: index.search(queries, _TOP_K)[1]


def _by_usearch(vectors: Vectors) -> Search:
    from usearch.index import MetricKind, search  # pyright: ignore[reportMissingImports] only in the environment for peers

    return lambda queries: np.atleast_2d(search(vectors, queries, _TOP_K, MetricKind.IP, exact=True).keys)


_CONTENDERS: Mapping[str, Callable[[Vectors], Search]] = {
    OURS: _ours,
    "numpy": _by_numpy,
    "faiss": _by_faiss,
    "usearch": _by_usearch,
}


def main() -> None:
    """Measure, print the page and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="number of vectors (default: 1000000)")
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="page to write (default: docs/search-speed.md)")
    arguments = parser.parse_args()
    machine = facts({**describe(), **conditions()})
    page = render(arguments.count, table([_COLUMNS, *_measured(arguments.count)]), machine)
    arguments.out.write_text(page, "utf-8")
    print(page)


def render(count: int, measured: str, machine: str) -> str:
    """Return the page, given the number of vectors, the table of results and the list of facts."""
    rounds = ", ".join(f"{number} for {queries}" for queries, number in _ROUNDS.items())
    sizes = {"count": count, "dimensions": _DIMENSIONS, "top_k": _TOP_K, "rounds": rounds}
    return _PAGE.format(**sizes, table=measured, machine=machine)


def _measured(count: int) -> Iterator[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "vectors.npy"
        np.save(path, random_vectors(count, seed=0))
        workers = [stack.enter_context(ModelWorker(name, prepare, name, path)) for name in _CONTENDERS]
        for queries, number in _ROUNDS.items():
            first = {each.name: each.do(search, queries) for each in workers}
            times = {
                name: [1e3 * seconds for _, seconds in rounds]
                for name, rounds in in_turns(calls(workers, search, queries), number).items()
            }
            for name in times:
                cells = _cells(times[OURS], times[name])
                found, seconds = first[name]
                recall = _recall(found, first["numpy"][0])
                yield str(queries), name, f"{1e3 * seconds:,.0f}", *cells, f"{recall:.1%}"


def _cells(ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, str, str]:
    ratio = statistics.median(mine / their for mine, their in zip(ours, theirs, strict=True))
    return f"{statistics.median(theirs):,.0f}", f"{min(theirs):,.0f} – {max(theirs):,.0f}", f"{ratio:.2f}"


def _recall(found: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    return statistics.mean(len(set(a) & set(b)) / _TOP_K for a, b in zip(found, expected, strict=True))


def random_vectors(count: int, seed: int) -> Vectors:
    """Return unit vectors, float32[count, 384]."""
    vectors = np.random.default_rng(seed).standard_normal((count, _DIMENSIONS), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def prepare(name: str, path: Path) -> Search:
    """Load the vectors into a contender."""
    return _CONTENDERS[name](np.load(path, mmap_mode="r"))


def search(contender: Search, queries: int) -> tuple[list[list[int]], float]:
    """Search with a number of random queries; return the rows found and the seconds."""
    vectors = random_vectors(queries, seed=1)
    start = time.perf_counter()
    found = contender(vectors)
    return found.tolist(), time.perf_counter() - start


if __name__ == "__main__":
    main()
