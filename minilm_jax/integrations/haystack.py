"""Haystack components: one embeds queries, one embeds documents, and one ranks documents."""

import dataclasses
from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_CROSS_ENCODER, DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_query, embed_texts, shared_cross_encoder, shared_encoder

with from_extra("haystack"):
    from haystack import Document, component


class _Embedder:
    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Store the name of the encoder, which `warm_up` loads."""
        self.model = model
        self.precision: Precision = precision

    def warm_up(self) -> None:
        """Load the encoder; a pipeline calls this before its first run."""
        shared_encoder(self.model, self.precision)


@component
class MinilmJaxTextEmbedder(_Embedder):
    """Component that embeds one text, such as a query.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
    """

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector of a text, D floats, as `embedding` and the model as `meta`.

        Raises:
            InputError: `text` is not a valid string.
        """
        return {"embedding": embed_query(text, self.model, self.precision), "meta": {"model": self.model}}


@component
class MinilmJaxDocumentEmbedder(_Embedder):
    """Component that embeds documents before they are written to a document store.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
        meta_fields_to_embed: Names of meta fields whose values are embedded before the content.
        embedding_separator: Separator between these values and the content.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        precision: Precision = "float32",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        """Store the name of the encoder, which `warm_up` loads."""
        _Embedder.__init__(self, model, precision)  # `component` replaces the class, so super() would fail.
        self.meta_fields_to_embed, self.embedding_separator = meta_fields_to_embed, embedding_separator

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of `documents` with their vectors, D floats, in `embedding`.

        Raises:
            InputError: An item is not a Document.
        """
        if not all(isinstance(document, Document) for document in documents):
            raise InputError("documents must be a list of Document; use MinilmJaxTextEmbedder for a string.")
        texts = _texts(documents, self.meta_fields_to_embed, self.embedding_separator)
        vectors = embed_texts(texts, self.model, self.precision, "document").tolist()
        return {"documents": [dataclasses.replace(d, embedding=v) for d, v in zip(documents, vectors, strict=True)]}


@component
class MinilmJaxRanker:
    """Component that sorts documents by their relevance to a query.

    Attributes:
        model: Name or folder of a cross-encoder.
        precision: Precision of the computation, see `minilm_jax.cast`.
        top_k: Maximum number of documents to return.
        meta_fields_to_embed: Names of meta fields whose values are put before the content.
        embedding_separator: Separator between these values and the content.
    """

    def __init__(
        self,
        model: str = DEFAULT_CROSS_ENCODER,
        precision: Precision = "float32",
        top_k: int = 10,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        """Store the name of the cross-encoder, which `warm_up` loads."""
        self.model = model
        self.precision: Precision = precision
        self.top_k = top_k
        self.meta_fields_to_embed, self.embedding_separator = meta_fields_to_embed, embedding_separator

    def warm_up(self) -> None:
        """Load the cross-encoder; a pipeline calls this before its first run."""
        shared_cross_encoder(self.model, self.precision)

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Return copies of the best documents, the best first, with their scores in `score`.

        Raises:
            InputError: `query` is not a valid string, top_k is not positive, or the model has several labels.
        """
        texts = _texts(documents, self.meta_fields_to_embed, self.embedding_separator)
        reranker = shared_cross_encoder(self.model, self.precision)
        found = reranker.rank(query, texts, self.top_k if top_k is None else top_k)
        return {"documents": [dataclasses.replace(documents[x["corpus_id"]], score=x["score"]) for x in found]}


def _texts(documents: list[Document], meta_fields: list[str] | None, separator: str) -> list[str]:
    """Return the contents of documents, each after the values of its meta fields."""
    values = [[document.meta.get(name) for name in meta_fields or ()] for document in documents]
    return [
        separator.join([*(str(value) for value in own if value is not None), document.content or ""])
        for document, own in zip(documents, values, strict=True)
    ]
