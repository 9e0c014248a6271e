"""`SearchIndex`: texts with their vectors, to be searched, added to and kept in a folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, overload

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError, SearchIndexError
from minilm_jax.fingerprint import fingerprint
from minilm_jax.search import index_files as index_folder
from minilm_jax.search.approximate import Graph
from minilm_jax.search.exact import Hit, semantic_search
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.tokens.tokenizer import check_texts
from minilm_jax.vectors.similarity import dot_score


class TextHit(Hit):
    """An entry of an index that was found.

    Attributes:
        corpus_id: Its place in the index.
        score: Its cosine with the query.
        text: The text itself.
    """

    text: str


class SearchIndex:
    """Texts with their vectors, searched by cosine.

    Attributes:
        texts: In the order in which they were added.
    """

    def __init__(self, encoder: SentenceEncoder, backend: str = "exact") -> None:
        """Starts empty; `build` and `load` start with texts.

        Args:
            encoder: What texts and queries are embedded with.
            backend: "exact" compares a query with every text; "usearch" finds most of the nearest, and of millions
                sooner; it needs `pip install 'minilm-jax[search]'`.

        Raises:
            InputError: The backend is unknown or not installed.
        """
        if backend not in ("exact", "usearch"):
            raise InputError(f"backend is {backend!r}; it must be exact or usearch.")
        self.texts: list[str] = []
        self._encoder, self._backend = encoder, backend
        # A jax array, so that it lies where it is searched, and on a CPU so that it need not be copied for that.
        self._vectors = jnp.empty((0, encoder.get_embedding_dimension()), jnp.float32)
        self._graph = Graph(self._vectors.shape[1]) if backend == "usearch" else None

    @classmethod
    def build(
        cls,
        encoder: SentenceEncoder,
        texts: Iterable[str],
        backend: str = "exact",
        show_progress_bar: bool | None = None,
    ) -> Self:
        """Makes an index of texts.

        Args:
            encoder: What to embed them with.
            texts: Any number of them.
            backend: "exact" or "usearch".
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Returns:
            The index.

        Raises:
            InputError: A text is no string or no valid Unicode, or the backend is unknown or not installed.
        """
        index = cls(encoder, backend)
        index.add(texts, show_progress_bar)
        return index

    def __len__(self) -> int:
        """Returns how many texts it holds."""
        return len(self.texts)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors of the texts, float32[n, D], of unit length."""
        return np.asarray(self._vectors)

    def add(self, texts: Iterable[str], show_progress_bar: bool | None = None) -> None:
        """Adds texts at the end; those that it holds already are not embedded again.

        Args:
            texts: Any number of them.
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Raises:
            InputError: A text is no string or no valid Unicode; nothing is added then.
        """
        texts = _checked(texts)
        self._append(texts, self._vectors_of(texts, show_progress_bar))

    def matching(self, texts: Iterable[str], show_progress_bar: bool | None = None) -> Self:
        """Returns an index of other texts, of which only those are embedded that this one does not hold.

        Args:
            texts: All that the new index is to hold.
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Returns:
            The new index, or this one where the texts are the same.

        Raises:
            InputError: A text is no string or no valid Unicode.
        """
        texts = _checked(texts)
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
        """Finds the texts that are most like a query.

        Args:
            query: One query or several.
            top_k: Most hits for each.

        Returns:
            Hits, best first; for several queries a list of such lists.

        Raises:
            InputError: A query is no string or no valid Unicode, or top_k is not positive.
        """
        queries = [query] if isinstance(query, str) else list(query)
        if top_k < 1:
            raise InputError(f"top_k is {top_k}; it must be at least 1.")
        vectors = self._encoder.encode_query(queries, show_progress_bar=False, normalize_embeddings=True)
        if self._graph is not None:
            found = [self._graph.search(vector, top_k) for vector in vectors]
        else:
            found = semantic_search(vectors, self._vectors, top_k=top_k, score_function=dot_score)
        results = [[TextHit(**hit, text=self.texts[hit["corpus_id"]]) for hit in hits] for hits in found]
        return results[0] if isinstance(query, str) else results

    def save(self, path: str | Path) -> None:
        """Writes the index to a folder, in one step.

        Args:
            path: The folder; an index that is there already is replaced.

        Raises:
            InputError: There is something else, which would be lost.
            OSError: It cannot be written.
        """
        stored = index_folder.Stored(fingerprint(self._encoder), self._backend, self.texts, self.vectors)
        with index_folder.written(Path(path), stored) as new:
            if self._graph is not None:
                self._graph.save(new / index_folder.GRAPH_FILE)

    @classmethod
    def load(cls, path: str | Path, encoder: SentenceEncoder) -> Self:
        """Reads an index that `save` wrote.

        Args:
            path: The folder.
            encoder: The model that it was built with.

        Returns:
            The index.

        Raises:
            SearchIndexError: It is missing or damaged, or was built with another model, precision or setting.
            InputError: Its backend is not installed.
        """
        stored = index_folder.read(Path(path))
        if stored.model != fingerprint(encoder):
            raise SearchIndexError(
                f"{path} was built with another model, precision, max_seq_length or prompt; load it with that one, or"
                " build it again."
            )
        index = cls(encoder, stored.backend)
        index.texts, index._vectors = stored.texts, jnp.asarray(stored.vectors)
        if index._graph is not None:
            index._graph = Graph.load(Path(path) / index_folder.GRAPH_FILE, *stored.vectors.shape)
        return index

    def _append(self, texts: list[str], vectors: NDArray[np.float32]) -> None:
        self.texts += texts
        self._vectors = jnp.asarray(np.concatenate([self._vectors, vectors]))
        if self._graph is not None:
            self._graph.add(vectors)

    def _vectors_of(self, texts: list[str], show_progress_bar: bool | None) -> NDArray[np.float32]:
        rows = {text: row for row, text in enumerate(self.texts)}
        new = [text for text in dict.fromkeys(texts) if text not in rows]
        embedded = self._encoder.encode_document(new, show_progress_bar=show_progress_bar, normalize_embeddings=True)
        rows |= {text: len(self) + place for place, text in enumerate(new)}
        places = np.fromiter((rows[text] for text in texts), np.int64, len(texts))
        vectors, known = np.empty((len(texts), embedded.shape[1]), np.float32), places < len(self)
        vectors[known], vectors[~known] = self.vectors[places[known]], embedded[places[~known] - len(self)]
        return vectors


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError("texts is one string; give a list of strings.")
    texts = list(texts)
    check_texts(texts)
    return texts
