"""`python -m benchmarks.search`: exact search of a million vectors, beside numpy, faiss and usearch."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import conditions, describe
from benchmarks.report import table
from benchmarks.results import OURS
from benchmarks.worker import Worker

_PAGE_FILE = Path(__file__).parents[1] / "docs" / "search-speed.md"
_DIMENSIONS, _TOP_K, _ROUNDS, _QUERIES = 384, 10, 5, (1, 10, 100)
_COLUMNS = ("queries", "contender", "ms", "fastest – slowest", "minilm-jax over it", "same")

Vectors: TypeAlias = NDArray[np.float32]
# Finds the rows of the nearest, [Q, k], of queries.
Search: TypeAlias = Callable[[Vectors], NDArray[np.integer]]

_PAGE = """\
# Search speed

Written by `make bench-search`; do not edit. Exact search of {count:,} unit vectors, {dimensions} × float32, for the
{top_k} with the highest dot product: milliseconds a call, the median of {rounds} rounds in turns, and the fastest and
slowest.

{table}

- minilm-jax: `semantic_search` by `dot_score`, with lists of dicts as its result; the vectors are a jax array.
- numpy: a matrix product, `argpartition` and a sort. faiss: `IndexFlatIP`. usearch: `search(…, exact=True)`.
- minilm-jax over it: our time over theirs, round by round, the median; below 1 we are faster.
- same: how many of the rows that numpy finds are found.

{machine}
"""


def ours(vectors: Vectors) -> Search:
    """Prepares minilm-jax."""
    import jax.numpy as jnp

    from minilm_jax.search import dot_score, semantic_search

    corpus = jnp.asarray(vectors)

    def search(queries: Vectors) -> NDArray[np.integer]:
        results = semantic_search(queries, corpus, top_k=_TOP_K, score_function=dot_score)
        return np.array([[hit["corpus_id"] for hit in hits] for hits in results])

    return search


def by_numpy(vectors: Vectors) -> Search:
    """Prepares numpy."""

    def search(queries: Vectors) -> NDArray[np.integer]:
        scores = queries @ vectors.T
        top = np.argpartition(-scores, _TOP_K, axis=1)[:, :_TOP_K]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        return np.take_along_axis(top, order, axis=1)

    return search


def by_faiss(vectors: Vectors) -> Search:
    """Prepares faiss."""
    import faiss  # pyright: ignore[reportMissingImports] a peer

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda queries: index.search(queries, _TOP_K)[1]


def by_usearch(vectors: Vectors) -> Search:
    """Prepares usearch."""
    from usearch.index import MetricKind, search  # pyright: ignore[reportMissingImports] a peer

    return lambda queries: np.atleast_2d(search(vectors, queries, _TOP_K, MetricKind.IP, exact=True).keys)


_CONTENDERS: Mapping[str, Callable[[Vectors], Search]] = {
    OURS: ours,
    "numpy": by_numpy,
    "faiss": by_faiss,
    "usearch": by_usearch,
}
_prepared: list[Search] = []


def main() -> None:
    """Measures, prints the page and writes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="how many vectors (default: 1000000)")
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="the page (default: docs/search-speed.md)")
    arguments = parser.parse_args()
    facts = {**describe(), **conditions()}
    page = _PAGE.format(
        count=arguments.count,
        dimensions=_DIMENSIONS,
        top_k=_TOP_K,
        rounds=_ROUNDS,
        table=table([_COLUMNS, *_measured(arguments.count)]),
        machine="\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
    )
    arguments.out.write_text(page, "utf-8")
    print(page)


def _measured(count: int) -> Iterator[tuple[str, ...]]:
    """Yields the rows of the table; every contender has a process of its own, and they share the file of vectors."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "vectors.npy"
        np.save(path, random_vectors(count, seed=0))
        workers = {name: stack.enter_context(Worker()) for name in _CONTENDERS}
        for name, worker in workers.items():
            worker(prepare, name, path)
        for queries in _QUERIES:
            found = {name: worker(search, queries)[0] for name, worker in workers.items()}
            rounds = [{name: worker(search, queries)[1] for name, worker in workers.items()} for _ in range(_ROUNDS)]
            for name in workers:
                same = np.mean(
                    [len(set(a) & set(b)) / _TOP_K for a, b in zip(found[name], found["numpy"], strict=True)]
                )
                yield str(queries), name, *_cells([(each[OURS], each[name]) for each in rounds]), f"{same:.1%}"


def _cells(seconds: list[tuple[float, float]]) -> tuple[str, str, str]:
    theirs = [1e3 * their for _, their in seconds]
    ratio = statistics.median(mine / their for mine, their in seconds)
    return f"{statistics.median(theirs):,.0f}", f"{min(theirs):,.0f} – {max(theirs):,.0f}", f"{ratio:.2f}"


def random_vectors(count: int, seed: int) -> Vectors:
    """Returns unit vectors, float32[count, 384]."""
    vectors = np.random.default_rng(seed).standard_normal((count, _DIMENSIONS), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def prepare(name: str, path: Path) -> None:
    """Prepares a contender, in its process."""
    _prepared.append(_CONTENDERS[name](np.load(path, mmap_mode="r")))


def search(queries: int) -> tuple[list[list[int]], float]:
    """Searches with so many queries, in the process of a contender; returns the rows found and the seconds."""
    vectors = random_vectors(queries, seed=1)
    start = time.perf_counter()
    found = _prepared[0](vectors)
    return found.tolist(), time.perf_counter() - start


if __name__ == "__main__":
    main()
