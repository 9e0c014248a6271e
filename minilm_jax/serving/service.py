"""`Service`: the models of a server, whose requests share one queue and one owner of the device."""

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.errors import InputError
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
from minilm_jax.vectors.sparse import to_csr

_Result = TypeVar("_Result")


class Service:
    """The models that a server offers.

    Attributes:
        settings: The settings of the server.
        models: The models; the first is that of `settings.model`.
        names: Their names.
        batcher: The queue of all models.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Load the models, and make their programs.

        Args:
            settings: The settings of the server.

        Raises:
            InputError: A setting does not fit a model, or two models are of one kind.
            ModelFileError: A model cannot be loaded.
        """
        self.settings = settings
        self.models: list[TextModel] = [
            class_of(settings.model, HubOptions(settings.revision)).from_pretrained(
                settings.model,
                precision=settings.precision,
                revision=settings.revision,
                max_seq_length=settings.max_seq_length,
            )
        ]
        self.names = [settings.model]
        for kind, name in ((CrossEncoder, settings.reranker), (SparseEncoder, settings.sparse)):
            if name is not None:
                self._add(kind, name)
        for each in self.models:
            each.warm_up_for_requests()
        self.batcher = Batcher(
            workers=self.models[0].workers,
            max_wait=settings.max_wait_ms / 1_000,
            max_waiting_tokens=settings.max_waiting_tokens,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-tokenizer")
        self._explaining = asyncio.Lock()
        self._by_kind = {type(each): AsyncModel(each, self.batcher, self._thread) for each in self.models}
        if self.encoder is not None:
            self._token_vectors = AsyncModel(self.encoder, self.batcher, self._thread, self.encoder.compute_tokens)
        if self.sparse is not None:
            self._by_kind[SparseEncoder] = AsyncModel(self.sparse, self.batcher, self._thread, self._sparse_rows)

    @property
    def encoder(self) -> SentenceEncoder | None:
        """The sentence encoder, if there is one."""
        return next((model for model in self.models if isinstance(model, SentenceEncoder)), None)

    @property
    def reranker(self) -> CrossEncoder | None:
        """The cross-encoder, if there is one."""
        return next((model for model in self.models if isinstance(model, CrossEncoder)), None)

    @property
    def sparse(self) -> SparseEncoder | None:
        """The sparse encoder, if there is one."""
        return next((model for model in self.models if isinstance(model, SparseEncoder)), None)

    def close(self) -> None:
        """Finish the queue, and end its threads."""
        self.batcher.close()
        self._thread.shutdown()

    async def embed(self, texts: list[str], prompt_name: str | None = None, *, truncate: bool = True) -> Answer:
        """Compute the vectors of texts."""
        self.need_encoder()
        return await self._by_kind[SentenceEncoder](texts, prompt_name, truncate=truncate)

    async def embed_ids(self, ids: list[list[int]]) -> Answer:
        """Compute the vectors of texts that the client tokenized."""
        self.need_encoder()
        lengths = np.array([len(each) for each in ids], np.int32)
        tokens = RaggedIds(np.concatenate([np.array(each, np.int32) for each in ids]), lengths)
        return await self._by_kind[SentenceEncoder].compute(tokens)

    async def embed_tokens(self, texts: list[str], prompt_name: str | None = None, *, truncate: bool = True) -> Answer:
        """Compute the token vectors of texts."""
        self.need_encoder()
        return await self._token_vectors(texts, prompt_name, truncate=truncate)

    async def logits(
        self, pairs: list[tuple[str, str]], prompt_name: str | None = None, *, truncate: bool = True
    ) -> Answer:
        """Compute the logits of pairs."""
        self.need_reranker()
        return await self._by_kind[CrossEncoder](pairs, prompt_name, truncate=truncate)

    async def embed_sparse(self, texts: list[str], prompt_name: str | None = None, *, truncate: bool = True) -> Answer:
        """Compute sparse vectors, pairs of arrays: indices and weights."""
        if self.sparse is None:
            raise NotServedError("sparse encoder", "--sparse MODEL")
        return await self._by_kind[SparseEncoder](texts, prompt_name, truncate=truncate)

    async def on_thread(self, function: Callable[[], _Result]) -> _Result:
        """Run a function on the thread that tokenizes, so that other requests are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def name_of(self, model: TextModel) -> str:
        """Return the name of a model."""
        return self.names[self.models.index(model)]

    async def explain(self, first: str, second: str) -> tuple[list[WordContribution], list[WordContribution]]:
        """Compute the contributions of the words of two texts to their similarity, one request at a time."""
        encoder = self.need_encoder()
        async with self._explaining:
            return (
                await asyncio.to_thread(word_contributions, encoder, first, second),
                await asyncio.to_thread(word_contributions, encoder, second, first),
            )

    def need_encoder(self) -> SentenceEncoder:
        """Return the sentence encoder; raises RequestError if there is none."""
        if self.encoder is None:
            raise NotServedError("sentence encoder", "--model MODEL")
        return self.encoder

    def need_reranker(self) -> CrossEncoder:
        """Return the cross-encoder; raises RequestError if there is none."""
        if self.reranker is None:
            raise NotServedError("reranker", "--reranker MODEL")
        return self.reranker

    def _add(self, kind: type[TextModel], name: str) -> None:
        if isinstance(self.models[0], kind):
            raise InputError(f"{self.names[0]!r} and {name!r} are both of the kind {kind.__name__}; serve one of them.")
        self.models.append(kind.from_pretrained(name, precision=self.settings.precision))
        self.names.append(name)

    def _sparse_rows(self, tokens: RaggedIds) -> list[tuple[NDArray[np.integer], NDArray[np.float32]]]:
        assert self.sparse is not None
        count = len(tokens.lengths)
        dense = [(np.arange(count), self.sparse.compute(tokens))]
        vectors = to_csr(dense, (count, self.sparse.config.vocab_size), self.sparse.max_active_dims)
        spans = itertools.pairwise(vectors.indptr.tolist())
        return [(vectors.indices[start:end], vectors.data[start:end]) for start, end in spans]
