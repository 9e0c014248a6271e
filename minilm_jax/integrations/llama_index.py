"""LlamaIndex `BaseEmbedding`."""

import asyncio

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_query, embed_texts

with from_extra("llama-index"):
    from llama_index.core.embeddings import BaseEmbedding
    from pydantic import Field


class MinilmJaxEmbedding(BaseEmbedding):
    """Embedding model for LlamaIndex; the asynchronous methods run on a thread.

    Attributes:
        model_name: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
        embed_batch_size: Maximum texts per call from LlamaIndex; the encoder forms its own batches from them.
    """

    model_name: str = DEFAULT_MODEL
    precision: Precision = "float32"
    embed_batch_size: int = Field(default=1024, gt=0, le=2048)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex uses in serialized data."""
        return "MinilmJaxEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return embed_query(query, self.model_name, self.precision)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed_texts(texts, self.model_name, self.precision, "document").tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
