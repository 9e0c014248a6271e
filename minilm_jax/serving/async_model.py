"""`AsyncModel`: tokenizes for asyncio, and lets a shared `Batcher` compute."""

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.serving.batcher import Batcher, Computation
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.batching import RaggedIds

# Up to this many characters are tokenized at once, because to hand them to another thread takes as long.
_FEW_CHARACTERS = 2_000


class Answer(NamedTuple):
    """The results of a request.

    Attributes:
        results: One per text.
        tokens: The number of tokens of all texts.
        tokenize_seconds: The time to tokenize them.
        queue_seconds: The time in the queue, until the first batch was started.
        compute_seconds: The time from then on.
    """

    results: list[Any]
    tokens: int
    tokenize_seconds: float
    queue_seconds: float
    compute_seconds: float


class AsyncModel:
    """Model for asyncio; concurrent requests share batches.

    Attributes:
        model: The model.
    """

    def __init__(
        self,
        model: TextModel,
        batcher: Batcher,
        tokenizing: Executor,
        compute: Callable[[RaggedIds], Sequence[Any] | NDArray[Any]] | None = None,
    ) -> None:
        """Combine a model with a queue.

        Args:
            model: The model.
            batcher: The queue, which several models may share.
            tokenizing: Tokenizes long texts.
            compute: Returns one result per text; by default `model.compute`.
        """
        self.model, self._batcher, self._tokenizing = model, batcher, tokenizing
        self._computation = Computation(compute or model.compute, model.batch_tokens)

    async def __call__(
        self,
        items: Sequence[Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *,
        truncate: bool = True,
    ) -> Answer:
        """Compute texts or pairs.

        Args:
            items: The texts or pairs.
            prompt_name: The name of the prompt to put before every text.
            prompt: The prompt itself.
            truncate: Whether longer texts are truncated.

        Returns:
            The results, in the order of the texts.

        Raises:
            InputError: A text is invalid or too long, or the queue is closed.
            OverloadedError: Too many tokens are waiting.
        """
        start = time.monotonic()
        tokens = await self._tokens(functools.partial(self._token_ids, items, prompt_name, prompt, truncate), items)
        return await self.compute(tokens, time.monotonic() - start)

    async def _tokens(self, tokenize: Callable[[], RaggedIds], items: Sequence[Any]) -> RaggedIds:
        """Tokenize texts or pairs, long ones on another thread."""
        if _are_short(items):
            return tokenize()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._tokenizing, tokenize)
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            raise InputError("the encoder is closed; it takes no more calls.") from None

    async def compute(self, tokens: RaggedIds, tokenize_seconds: float = 0.0) -> Answer:
        """Compute texts that are tokenized already."""
        request = self._batcher.submit(tokens, self._computation)
        results = await asyncio.wrap_future(request.future)
        end = time.monotonic()
        started = request.started or request.arrived
        return Answer(results, len(tokens.ids), tokenize_seconds, started - request.arrived, end - started)

    def _token_ids(
        self, items: Sequence[Any], prompt_name: str | None, prompt: str | None, truncate: bool
    ) -> RaggedIds:
        shortened = [self._shortened(item) for item in items]
        return self.model.token_ids(shortened, prompt_name, prompt, truncate=truncate)

    def _shortened(self, item: Any) -> Any:
        if isinstance(item, tuple):
            return tuple(map(self._shortened, item))
        return self.model.tokenizer.first_characters(item, self.model.max_seq_length) if isinstance(item, str) else item


def _are_short(items: Sequence[Any]) -> bool:
    left = _FEW_CHARACTERS
    for item in items:
        left -= len(item) if isinstance(item, str) else sum(map(len, item))
        if left < 0:
            return False
    return True
