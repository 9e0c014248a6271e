"""Approximate search by usearch: a graph over the vectors that finds most of the nearest without looking at all."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError, SearchIndexError
from minilm_jax.search.exact import Hit


class Graph:
    """usearch's graph over unit vectors, whose ids are the order in which they were added."""

    def __init__(self, dimensions: int) -> None:
        """Starts empty.

        Args:
            dimensions: Of the vectors.

        Raises:
            InputError: usearch is not installed.
        """
        self._index = _usearch()(ndim=dimensions, metric="ip", dtype="f32")

    def __len__(self) -> int:
        """Returns how many vectors it holds."""
        return len(self._index)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Adds unit vectors, float32[n, D]."""
        if len(vectors):
            self._index.add(np.arange(len(self), len(self) + len(vectors)), vectors)

    def search(self, query: NDArray[np.float32], top_k: int) -> list[Hit]:
        """Finds most of the vectors with the highest dot product with a query, float32[D], best first."""
        found = self._index.search(query, top_k) if len(self) else []
        return [Hit(corpus_id=int(match.key), score=1 - float(match.distance)) for match in found]

    def save(self, path: Path) -> None:
        """Writes a file."""
        self._index.save(str(path))

    @classmethod
    def load(cls, path: Path, count: int, dimensions: int) -> Self:
        """Reads a file that `save` wrote.

        Args:
            path: Of the file.
            count: How many vectors it must hold.
            dimensions: Which they must have.

        Raises:
            InputError: usearch is not installed.
            SearchIndexError: The file is damaged or of other vectors.
        """
        graph = cls(dimensions)
        try:
            graph._index.load(str(path))
        except Exception as error:  # usearch raises errors of several kinds.
            raise SearchIndexError(f"{path} is damaged ({error!s:.200}); build the index again.") from None
        if (len(graph), graph._index.ndim) != (count, dimensions):
            raise SearchIndexError(f"{path} is of other vectors than the file beside it; build the index again.")
        return graph


def _usearch() -> Any:
    try:
        from usearch.index import Index  # pyright: ignore[reportMissingImports] an extra
    except ImportError:
        raise InputError("usearch is not installed; pip install 'minilm-jax[search]', or leave backend out.") from None
    return Index
