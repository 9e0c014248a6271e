"""Haystack: the encoder as two components, one for queries and one for documents."""

import dataclasses
from typing import Any

from haystack import Document, component

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.shared_encoders import embed_query, embed_texts, shared_encoder


class _Embedder:
    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Names the encoder, which is loaded by `warm_up`."""
        self.model = model
        self.precision: Precision = precision

    def warm_up(self) -> None:
        """Loads the encoder; a pipeline calls it before its first run."""
        shared_encoder(self.model, self.precision)


@component
class MinilmJaxTextEmbedder(_Embedder):
    """Embeds one text, such as a query.

    Attributes:
        model: A model's name, or a folder.
        precision: What to compute in, see `minilm_jax.cast`.
    """

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Returns the text's D floats as `embedding`, and as `meta` the model.

        Raises:
            InputError: `text` is no valid string.
        """
        return {"embedding": embed_query(text, self.model, self.precision), "meta": {"model": self.model}}


@component
class MinilmJaxDocumentEmbedder(_Embedder):
    """Embeds documents, to be written into a document store, with a model and precision as above.

    Attributes:
        meta_fields_to_embed: Names of meta fields whose values are put before the content, if any.
        embedding_separator: What is put between them.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        precision: Precision = "float32",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        """Names the encoder, which is loaded by `warm_up`."""
        _Embedder.__init__(self, model, precision)  # `component` makes another class, so that super() fails.
        self.meta_fields_to_embed, self.embedding_separator = meta_fields_to_embed, embedding_separator

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Returns copies of `documents` with their D floats in `embedding`.

        Raises:
            InputError: An item is no document.
        """
        if not all(isinstance(document, Document) for document in documents):
            raise InputError("a list of Documents is needed; MinilmJaxTextEmbedder takes a text.")
        vectors = embed_texts(map(self._text, documents), self.model, self.precision, "document").tolist()
        return {"documents": [dataclasses.replace(d, embedding=v) for d, v in zip(documents, vectors, strict=True)]}

    def _text(self, document: Document) -> str:
        fields = [document.meta.get(name) for name in self.meta_fields_to_embed or ()]
        return self.embedding_separator.join([str(x) for x in fields if x is not None] + [document.content or ""])
