"""`SearchIndex`: texts with their vectors, which can be searched, extended, saved and loaded."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, get_args, overload

import numpy as np
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.config import SearchBackend
from minilm_jax.errors import InputError, SearchIndexError
from minilm_jax.fingerprint import fingerprint
from minilm_jax.nn.settings import device_use
from minilm_jax.search.approximate import UsearchGraph
from minilm_jax.search.exact import Hit, semantic_search
from minilm_jax.search.index_files import GRAPH_FILE, StoredIndex, read_index, write_index
from minilm_jax.search.tiles import concatenate_for_search
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.tokens.texts import as_texts
from minilm_jax.vectors.similarity import dot_score


class TextHit(Hit):
    """Search result of an index.

    Attributes:
        corpus_id: Position of the text in the index.
        score: Cosine similarity to the query.
        text: The text.
    """

    text: str


class SearchIndex:
    """Texts with their vectors, searched by cosine similarity.

    Attributes:
        texts: The texts, in the order in which they were added.
    """

    @device_use()
    def __init__(self, encoder: SentenceEncoder, backend: SearchBackend = "exact") -> None:
        """Create an empty index; `build` and `load` create one with texts.

        Args:
            encoder: Embeds the texts and the queries.
            backend: "exact" compares a query with every text. "usearch" finds approximately the nearest, which is
                faster for millions of texts; it needs `pip install 'minilm-jax[search]'`.

        Raises:
            InputError: The backend is unknown or not installed.
        """
        if backend not in get_args(SearchBackend):
            raise InputError(f"backend is {backend!r}; it must be {' or '.join(get_args(SearchBackend))}.")
        self.texts: list[str] = []
        self._encoder = encoder
        self._backend: SearchBackend = backend
        # On the device that searches them.
        self._vectors = concatenate_for_search([np.empty((0, encoder.get_embedding_dimension()), np.float32)])
        self._graph = UsearchGraph(self._vectors.shape[1]) if backend == "usearch" else None

    @classmethod
    def build(
        cls,
        encoder: SentenceEncoder,
        texts: Iterable[str],
        backend: SearchBackend = "exact",
        show_progress_bar: bool | None = None,
    ) -> Self:
        """Create an index of texts.

        Args:
            encoder: Embeds the texts and the queries.
            texts: Any number of texts.
            backend: "exact" or "usearch".
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Returns:
            The index.

        Raises:
            InputError: A text is not a string or not valid Unicode, or the backend is unknown or not installed.
        """
        index = cls(encoder, backend)
        index.add(texts, show_progress_bar)
        return index

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)

    def __repr__(self) -> str:
        """Return the size, the backend and the encoder."""
        dimensions = self._vectors.shape[1]
        return f"SearchIndex(texts={len(self)}, {dimensions=}, backend={self._backend!r}, encoder={self._encoder!r})"

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of the texts, float32[n, D]."""
        return np.asarray(self._vectors)

    def add(self, texts: Iterable[str], show_progress_bar: bool | None = None) -> None:
        """Append texts; those already in the index are not embedded again.

        Args:
            texts: Any number of texts.
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Raises:
            InputError: A text is not a string or not valid Unicode; the index is unchanged.
        """
        texts = as_texts(texts)
        self._append(texts, self._vectors_of(texts, show_progress_bar))

    def matching(self, texts: Iterable[str], show_progress_bar: bool | None = None) -> Self:
        """Return an index of the given texts that reuses the vectors of this one.

        Args:
            texts: All texts of the new index.
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Returns:
            A new index, or this one if its texts are the same.

        Raises:
            InputError: A text is not a string or not valid Unicode.
        """
        texts = as_texts(texts)
        if texts == self.texts:
            return self
        index = type(self)(self._encoder, self._backend)
        index._append(texts, self._vectors_of(texts, show_progress_bar))
        return index

    @overload
    def search(self, query: str, top_k: int = 10) -> list[TextHit]: ...  # pyright: ignore[reportOverlappingOverload]

    @overload
    def search(self, query: Sequence[str], top_k: int = 10) -> list[list[TextHit]]: ...

    def search(self, query: str | Sequence[str], top_k: int = 10) -> Any:
        """Find the texts that are most similar to a query.

        Args:
            query: One query or several.
            top_k: Maximum number of hits per query.

        Returns:
            Hits, best first; for several queries one list of hits per query.

        Raises:
            InputError: A query is not a string or not valid Unicode, or top_k is not positive.
        """
        queries = as_texts([query] if isinstance(query, str) else query, "query")
        top_k = integer("top_k", top_k)
        vectors = self._encoder.encode_query(queries, show_progress_bar=False, normalize_embeddings=True)
        if self._graph is not None:
            found = [self._graph.search(vector, top_k) for vector in vectors]
        else:
            found = semantic_search(vectors, self._vectors, top_k=top_k, score_function=dot_score)
        results = [[TextHit(**hit, text=self.texts[hit["corpus_id"]]) for hit in hits] for hits in found]
        return results[0] if isinstance(query, str) else results

    def save(self, path: str | Path) -> None:
        """Write the index to a folder.

        Args:
            path: The folder; an existing index in it is replaced, and other files stay.

        Raises:
            InputError: The path is a file.
            OSError: The folder cannot be written.
        """
        stored = StoredIndex(fingerprint(self._encoder), self._backend, self.texts, self.vectors)
        with write_index(Path(path), stored) as new:
            if self._graph is not None:
                self._graph.save(new / GRAPH_FILE)

    @classmethod
    @device_use()
    def load(cls, path: str | Path, encoder: SentenceEncoder) -> Self:
        """Read an index that `save` wrote.

        Args:
            path: The folder.
            encoder: The encoder that the index was built with.

        Returns:
            The index.

        Raises:
            SearchIndexError: The index is missing or damaged, or was built with another model, precision or setting.
            InputError: The backend is not installed.
        """
        stored = read_index(Path(path))
        if stored.model != fingerprint(encoder):
            raise SearchIndexError(
                f"{path} was built with another model, precision, max_seq_length or prompt; load it with the same one,"
                " or build it again."
            )
        index = cls(encoder, stored.backend)
        index.texts, index._vectors = stored.texts, concatenate_for_search([stored.vectors])
        if index._graph is not None:
            index._graph = UsearchGraph.load(Path(path) / GRAPH_FILE, *stored.vectors.shape)
        return index

    @device_use()
    def _append(self, texts: list[str], vectors: NDArray[np.float32]) -> None:
        self.texts += texts
        self._vectors = concatenate_for_search([self.vectors, vectors])
        if self._graph is not None:
            self._graph.add(vectors)

    def _vectors_of(self, texts: list[str], show_progress_bar: bool | None) -> NDArray[np.float32]:
        rows = {text: row for row, text in enumerate(self.texts)}
        new = [text for text in dict.fromkeys(texts) if text not in rows]
        embedded = self._encoder.encode_document(new, show_progress_bar=show_progress_bar, normalize_embeddings=True)
        rows |= {text: len(self) + position for position, text in enumerate(new)}
        positions = np.fromiter((rows[text] for text in texts), np.int64, len(texts))
        vectors, known = np.empty((len(texts), embedded.shape[1]), np.float32), positions < len(self)
        vectors[known], vectors[~known] = self.vectors[positions[known]], embedded[positions[~known] - len(self)]
        return vectors
