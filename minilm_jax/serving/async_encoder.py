"""`AsyncSentenceEncoder`: `SentenceEncoder` for asyncio; concurrent calls share batches."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from minilm_jax.output_options import OutputOptions
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.serving.async_model import AsyncModel
from minilm_jax.serving.batcher import Batcher, BatcherStats
from minilm_jax.tokens.texts import as_texts

# One thread tokenizes while the device computes; tokenizers uses all cores by itself.
_TOKENIZING_THREADS = 1


class AsyncSentenceEncoder:
    """An encoder for asyncio, such as in a web application; texts of concurrent calls are computed together.

    A call that is cancelled leaves the queue. One short text does not wait for a long list of another call.

    Attributes:
        encoder: The encoder; while this object is open, only it should use the encoder.
    """

    def __init__(
        self,
        encoder: SentenceEncoder | None = None,
        *,
        max_wait: float = 0.002,
        max_waiting_tokens: int = 1 << 20,
    ) -> None:
        """Start the threads that compute.

        Args:
            encoder: The encoder; by default all-MiniLM-L6-v2. `encoder.warm_up_for_requests()` makes its programs in
                advance.
            max_wait: Seconds that a call waits for others to share a batch with.
            max_waiting_tokens: Tokens that may wait; further calls raise OverloadedError.

        Examples:
            >>> import asyncio
            >>> import minilm_jax as mj
            >>> async def main():
            ...     async with mj.AsyncSentenceEncoder() as encoder:
            ...         return await asyncio.gather(*(encoder.encode(f"text {i}") for i in range(10)))
            >>> len(asyncio.run(main()))
            10
        """
        self.encoder = encoder or SentenceEncoder()
        self._batcher = Batcher(workers=self.encoder.workers, max_wait=max_wait, max_waiting_tokens=max_waiting_tokens)
        self._tokenizing = ThreadPoolExecutor(_TOKENIZING_THREADS, thread_name_prefix="minilm-jax-tokenizer")
        self._model = AsyncModel(self.encoder, self._batcher, self._tokenizing)

    async def __aenter__(self) -> Self:
        """Return this object, which the end of the block closes."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close this object."""
        await self.aclose()

    async def aclose(self) -> None:
        """Refuse further calls, and wait until those in the queue are finished."""
        await asyncio.to_thread(self._batcher.close)
        self._tokenizing.shutdown()

    @property
    def stats(self) -> BatcherStats:
        """Counts of the batches so far."""
        return self._batcher.stats

    async def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> NDArray[np.float32]:
        """Embed texts, with the result of `SentenceEncoder.encode`.

        Args:
            inputs: One text or several.
            prompt_name: As in `SentenceEncoder.encode`, like the other arguments.
            prompt: The prompt itself.
            normalize_embeddings: Whether to scale vectors to unit length.
            truncate_dim: Number of dimensions to keep.

        Returns:
            float32[D] for one text, float32[n, D] for several.

        Raises:
            InputError: A text is not a string or not valid Unicode, a keyword has an invalid value, or this object is
                closed.
            OverloadedError: Too many tokens are waiting.
        """
        options = OutputOptions(
            normalize=normalize_embeddings,
            truncate_dim=self.encoder.truncate_dim if truncate_dim is None else truncate_dim,
        )
        is_single = isinstance(inputs, str)
        texts = as_texts([inputs] if is_single else inputs, "inputs")
        rows = (await self._model(texts, prompt_name, prompt)).results
        size = self.encoder.config.embedding_size
        vectors = options.sentences(np.stack(rows) if rows else np.empty((0, size), np.float32))
        return vectors[0] if is_single else vectors

    async def encode_query(self, inputs: str | Iterable[str], **options: Any) -> NDArray[np.float32]:
        """Embed queries: `encode` with the prompt named "query", unless another is given."""
        return await self.encode(inputs, **{"prompt_name": self.encoder.query_prompt_name, **options})

    async def encode_document(self, inputs: str | Iterable[str], **options: Any) -> NDArray[np.float32]:
        """Embed documents: `encode` with the prompt for documents, unless another is given."""
        return await self.encode(inputs, **{"prompt_name": self.encoder.document_prompt_name, **options})
