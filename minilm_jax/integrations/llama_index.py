"""LlamaIndex `BaseEmbedding` and `BaseNodePostprocessor`."""

import asyncio

from minilm_jax.checkpoints.cache import DEFAULT_CROSS_ENCODER, DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_query, embed_texts, shared_cross_encoder

with from_extra("llama-index"):
    from llama_index.core.embeddings import BaseEmbedding
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
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


class MinilmJaxRerank(BaseNodePostprocessor):
    """Node postprocessor that keeps the best nodes; the asynchronous method runs on a thread.

    Attributes:
        model: Name or folder of a cross-encoder.
        precision: Precision of the computation, see `minilm_jax.cast`.
        top_n: Maximum number of nodes to keep.
    """

    model: str = DEFAULT_CROSS_ENCODER
    precision: Precision = "float32"
    top_n: int = Field(default=2, gt=0)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex uses in serialized data."""
        return "MinilmJaxRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("there is no query to rank the nodes by; pass query_bundle or query_str.")
        texts = [node.node.get_content(MetadataMode.EMBED) for node in nodes]
        found = shared_cross_encoder(self.model, self.precision).rank(query_bundle.query_str, texts, self.top_n)
        return [NodeWithScore(node=nodes[each["corpus_id"]].node, score=each["score"]) for each in found]
