"""`Service`: the models of a server, whose requests share one queue and one owner of the device."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.explain import WordContribution, word_contributions
from minilm_jax.model_kinds import class_of
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.serving.async_model import Answer, AsyncModel
from minilm_jax.serving.batcher import Batcher
from minilm_jax.serving.request_errors import NotServedError
from minilm_jax.serving.settings import ServerSettings
from minilm_jax.sparse_encoder import SparseEncoder
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.batching import RaggedIds


class Service:
    """The models that a server offers.

    Attributes:
        settings: The settings of the server.
        batcher: The queue of all models.
        encoder: The encoder, or None if the model scores pairs.
        reranker: The cross-encoder, or None.
        sparse: The sparse encoder, or None.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Load the models, and make their programs.

        Args:
            settings: The settings of the server.

        Raises:
            InputError: A setting does not fit a model.
            ModelFileError: A model cannot be loaded.
        """
        self.settings = settings
        kind = class_of(settings.model, HubOptions(settings.revision))
        model = kind.from_pretrained(
            settings.model,
            precision=settings.precision,
            revision=settings.revision,
            max_seq_length=settings.max_seq_length,
        )
        self.encoder = model if isinstance(model, SentenceEncoder) else None
        self.reranker = model if isinstance(model, CrossEncoder) else None
        self.sparse = model if isinstance(model, SparseEncoder) else None
        if settings.reranker is not None:
            self.reranker = CrossEncoder.from_pretrained(settings.reranker, precision=settings.precision)
        if settings.sparse is not None:
            self.sparse = SparseEncoder.from_pretrained(settings.sparse, precision=settings.precision)
        for each in self.models:
            each.warm_up_for_requests()
        self.batcher = Batcher(
            workers=model.workers,
            max_wait=settings.max_wait_ms / 1_000,
            max_waiting_tokens=settings.max_waiting_tokens,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-tokenizer")
        self._explaining = asyncio.Lock()
        self._async = {id(each): AsyncModel(each, self.batcher, self._thread) for each in self.models}
        if self.encoder is not None:
            self._token_vectors = AsyncModel(self.encoder, self.batcher, self._thread, self.encoder.compute_tokens)
        if self.sparse is not None:
            self._async[id(self.sparse)] = AsyncModel(self.sparse, self.batcher, self._thread, self._sparse_rows)

    @property
    def models(self) -> list[TextModel]:
        """The models that are loaded."""
        return [model for model in (self.encoder, self.reranker, self.sparse) if model is not None]

    @property
    def names(self) -> dict[str, TextModel]:
        """The models by their names."""
        names = (self.settings.model, self.settings.reranker, self.settings.sparse)
        return dict(zip([name for name in names if name is not None], self._in_order(), strict=True))

    def close(self) -> None:
        """Finish the queue, and end its threads."""
        self.batcher.close()
        self._thread.shutdown()

    async def embed(self, texts: list[str], prompt_name: str | None = None, prompt: str | None = None) -> Answer:
        """Compute the vectors of texts."""
        return await self._of(self._served_encoder())(texts, prompt_name, prompt)

    async def embed_ids(self, ids: list[list[int]]) -> Answer:
        """Compute the vectors of texts that the client tokenized."""
        lengths = np.array([len(each) for each in ids], np.int32)
        tokens = RaggedIds(np.concatenate([np.array(each, np.int32) for each in ids]), lengths)
        return await self._of(self._served_encoder()).compute(tokens)

    async def embed_tokens(self, texts: list[str], prompt_name: str | None = None) -> Answer:
        """Compute the token vectors of texts."""
        self._served_encoder()
        return await self._token_vectors(texts, prompt_name)

    async def logits(self, pairs: list[tuple[str, str]]) -> Answer:
        """Compute the logits of pairs."""
        if self.reranker is None:
            raise NotServedError("reranker", "--reranker MODEL")
        return await self._of(self.reranker)(pairs)

    async def embed_sparse(self, texts: list[str], prompt_name: str | None = None) -> Answer:
        """Compute sparse vectors, pairs of arrays: indices and weights."""
        if self.sparse is None:
            raise NotServedError("sparse encoder", "--sparse MODEL")
        return await self._of(self.sparse)(texts, prompt_name)

    async def explain(self, first: str, second: str) -> tuple[list[WordContribution], list[WordContribution]]:
        """Compute the contributions of the words of two texts to their similarity, one request at a time."""
        encoder = self._served_encoder()
        async with self._explaining:
            return (
                await asyncio.to_thread(word_contributions, encoder, first, second),
                await asyncio.to_thread(word_contributions, encoder, second, first),
            )

    def _served_encoder(self) -> SentenceEncoder:
        if self.encoder is None:
            raise NotServedError("sentence encoder", "--model MODEL")
        return self.encoder

    def _of(self, model: TextModel) -> AsyncModel:
        return self._async[id(model)]

    def _in_order(self) -> list[TextModel]:
        own = self.encoder or (self.reranker if self.settings.reranker is None else None) or self.sparse
        assert own is not None
        others = [self.reranker if self.settings.reranker else None, self.sparse if self.settings.sparse else None]
        return [own, *(each for each in others if each is not None)]

    def _sparse_rows(self, tokens: RaggedIds) -> list[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        assert self.sparse is not None
        rows = self.sparse.compute(tokens)
        kept: list[tuple[Any, Any]] = []
        for row in rows:
            indices = np.flatnonzero(row)
            if self.sparse.max_active_dims is not None and len(indices) > self.sparse.max_active_dims:
                largest = np.argsort(-row[indices], kind="stable")[: self.sparse.max_active_dims]
                indices = np.sort(indices[largest])
            kept.append((indices, row[indices]))
        return kept
