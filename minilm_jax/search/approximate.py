"""Approximate nearest neighbors with usearch: a graph over the vectors, so that a query reads only some of them."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import MissingPackageError, SearchIndexError
from minilm_jax.search.exact import Hit


class UsearchGraph:
    """Graph over unit vectors; the id of a vector is its position in the order of insertion."""

    def __init__(self, dimensions: int) -> None:
        """Create an empty graph.

        Args:
            dimensions: Size of a vector, D.

        Raises:
            MissingPackageError: usearch is not installed.
        """
        self._index = _usearch()(ndim=dimensions, metric="ip", dtype="f32")

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self._index)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add unit vectors, float32[n, D]."""
        if len(vectors):
            self._index.add(np.arange(len(self), len(self) + len(vectors)), vectors)

    def search(self, query: NDArray[np.float32], top_k: int) -> list[Hit]:
        """Return approximately the `top_k` nearest vectors to `query`, float32[D], by dot product, best first."""
        found = self._index.search(query, top_k) if len(self) else []
        return [Hit(corpus_id=int(match.key), score=1 - float(match.distance)) for match in found]

    def save(self, path: Path) -> None:
        """Write the graph to a file."""
        self._index.save(str(path))

    @classmethod
    def load(cls, path: Path, count: int, dimensions: int) -> Self:
        """Read a file that `save` wrote.

        Args:
            path: The file.
            count: Expected number of vectors.
            dimensions: Expected size of a vector.

        Returns:
            The graph.

        Raises:
            MissingPackageError: usearch is not installed.
            SearchIndexError: The file is damaged, or its vectors have another number or size.
        """
        graph = cls(dimensions)
        try:
            graph._index.load(str(path))
        except Exception as error:  # usearch raises several types of errors.
            raise SearchIndexError(f"{path} is damaged ({error!s:.200}); build the index again.") from None
        if (len(graph), graph._index.ndim) != (count, dimensions):
            raise SearchIndexError(f"{path} does not match the vectors of its index; build the index again.")
        return graph


def _usearch() -> Any:
    try:
        from usearch.index import Index  # pyright: ignore[reportMissingImports] an extra
    except ImportError:
        raise MissingPackageError(
            "backend 'usearch' needs usearch: pip install 'minilm-jax[search]', or use backend 'exact'."
        ) from None
    return Index
