"""LangChain `Embeddings` and `BaseDocumentCompressor`."""

import dataclasses
from collections.abc import Sequence

from minilm_jax.checkpoints.cache import DEFAULT_CROSS_ENCODER, DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_query, embed_texts, shared_cross_encoder

with from_extra("langchain"):
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.embeddings import Embeddings
    from pydantic import Field


@dataclasses.dataclass(frozen=True)
class MinilmJaxEmbeddings(Embeddings):
    """Embeddings for LangChain; the asynchronous methods run on LangChain's threads.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
    """

    model: str = DEFAULT_MODEL
    precision: Precision = "float32"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents, each as D floats; an empty list gives an empty list.

        Raises:
            InputError: `texts` is one string, or an item is not a valid string.
        """
        return embed_texts(texts, self.model, self.precision, "document").tolist()

    def embed_query(self, text: str) -> list[float]:
        """Embed one query as D floats.

        Raises:
            InputError: `text` is not a valid string.
        """
        return embed_query(text, self.model, self.precision)


class MinilmJaxReranker(BaseDocumentCompressor):
    """Document compressor that keeps the best documents; the asynchronous method runs on LangChain's threads.

    Attributes:
        model: Name or folder of a cross-encoder.
        precision: Precision of the computation, see `minilm_jax.cast`.
        top_n: Maximum number of documents to keep, or None for all.
    """

    model: str = DEFAULT_CROSS_ENCODER
    precision: Precision = "float32"
    top_n: int | None = Field(default=3, gt=0)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return copies of the best documents, the best first, with their scores in `metadata["relevance_score"]`.

        Raises:
            InputError: `query` is not a valid string, or the model has several labels.
        """
        reranker = shared_cross_encoder(self.model, self.precision)
        found = reranker.rank(query, [document.page_content for document in documents], self.top_n)
        return [_with_score(documents[each["corpus_id"]], each["score"]) for each in found]


def _with_score(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
