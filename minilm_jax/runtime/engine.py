"""Many texts' token ids to their vectors: planned into batches, computed side by side, counted, with a progress bar."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.params import Params
from minilm_jax.progress import progress_bar
from minilm_jax.runtime.devices import ONE_DEVICE, DeviceGroup
from minilm_jax.runtime.programs import Programs
from minilm_jax.runtime.workers import parallel_map
from minilm_jax.tokens.batching import Batch, RaggedIds, pieces, plan
from minilm_jax.tokens.packed_rows import FEWEST_ROWS, NO_TEXT, AnyBatch, pack


@dataclasses.dataclass
class Stats:
    """What an encoder has done so far.

    Attributes:
        texts: Texts embedded.
        truncated: How many of them were cut at max_seq_length.
        longest: Tokens of the longest of them, before truncation.
        tokens: Their tokens, after truncation.
        computed_tokens: Tokens computed, padding included.
        compilations: Shapes that a program was made for, by XLA or from the compilation cache.
        computed_in: The numbers that are multiplied: "float32", "bfloat16", "float16" or "int8". It is not always the
            precision asked for: a CPU without bfloat16 instructions takes float32, an accelerator bfloat16 for int8.
    """

    texts: int = 0
    truncated: int = 0
    longest: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    compilations: int = 0
    computed_in: str = "float32"

    @property
    def padding(self) -> float:
        """Fraction of the computed tokens that was padding."""
        return 1 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0


class Engine:
    """Computes vectors with one model.

    Attributes:
        stats: What was done so far.
        placement: Where.
    """

    def __init__(self, params: Params, config: EncoderConfig, placement: DeviceGroup = ONE_DEVICE) -> None:
        """Starts with nothing compiled.

        Args:
            params: The parameter tree.
            config: Sizes and pooling of the encoder that params belong to.
            placement: Where to compute.
        """
        self.placement = placement
        self._config, self._programs = config, Programs(params, config, placement)
        self.stats = Stats(computed_in=self._programs.computed_in)

    def embed_batches(self, batches: Iterable[AnyBatch]) -> Iterator[NDArray[np.floating]]:
        """Embeds batches of token ids, several side by side, in their order: float[B, D] or [B, S, D] each."""
        counts: collections.deque[int] = collections.deque()

        def parts() -> Iterator[AnyBatch]:
            for batch in batches:
                # A CPU's caches hold so much of a batch; an accelerator takes it whole.
                if isinstance(batch, Batch) and self.placement.on_cpu:
                    cut = pieces(batch, self.placement.token_budget)
                else:
                    cut = [batch]
                counts.append(len(cut))
                yield from cut

        computed = parallel_map(self._programs, parts(), self.placement.streams)
        for first in computed:
            rest = list(itertools.islice(computed, counts.popleft() - 1))
            yield np.concatenate([first, *rest]) if rest else first
        self.stats.compilations = self._programs.compilations

    def sentence_vectors(
        self, chunks: Iterable[RaggedIds], count: int, batch_size: int | None, show_progress_bar: bool | None
    ) -> NDArray[np.float32]:
        """Returns float32[n, D], a vector a text, in the order of the texts, of which the chunks have so many."""
        vectors = np.empty((count, self._config.hidden_size), np.float32)
        with progress_bar(count, show_progress_bar) as progress:
            for texts, found in self._computed(self.embed_batches, self._laid_out(chunks, batch_size)):
                vectors[texts] = found
                progress.update(len(texts))
        return vectors

    def token_vectors(
        self, tokens: RaggedIds, batch_size: int | None, show_progress_bar: bool | None
    ) -> list[NDArray[np.float32]]:
        """Returns a float32[T, D] for each text, a vector a token and none for padding, in the order of the texts."""
        vectors = [np.empty(0, np.float32)] * len(tokens.lengths)
        with progress_bar(len(vectors), show_progress_bar) as progress:
            for texts, found in self._computed(self._token_batches, self._padded(tokens, batch_size)):
                for text, hidden_state in zip(texts.tolist(), found, strict=True):
                    vectors[text] = hidden_state[: tokens.lengths[text]].copy()
                progress.update(len(texts))
        return vectors

    def _token_batches(self, batches: Iterable[AnyBatch]) -> Iterator[NDArray[np.float32]]:
        def compute(batch: AnyBatch) -> NDArray[np.float32]:
            split = self.placement.split(batch)
            return np.asarray(_last_hidden_state(self._programs.params, split, self._config))[: len(batch.input_ids)]

        return parallel_map(compute, batches, self.placement.streams)

    def _computed(
        self,
        compute: Callable[[Iterator[AnyBatch]], Iterator[NDArray[np.floating]]],
        laid_out: Iterable[tuple[AnyBatch, NDArray[np.intp]]],
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.floating]]]:
        """Yields the texts of each batch, and what was computed of each of them."""
        waiting: collections.deque[NDArray[np.intp]] = collections.deque()

        def batches() -> Iterator[AnyBatch]:
            for batch, texts in laid_out:
                waiting.append(texts)
                self.stats.computed_tokens += batch.input_ids.size
                yield batch

        for found in compute(batches()):
            texts = waiting.popleft()
            yield texts[texts != NO_TEXT], found[texts != NO_TEXT]

    def _laid_out(
        self, chunks: Iterable[RaggedIds], batch_size: int | None
    ) -> Iterator[tuple[AnyBatch, NDArray[np.intp]]]:
        """Yields batches, with the text that lies in each of their places, counted over all chunks."""
        before, budget = 0, self.placement.token_budget
        for tokens in chunks:
            packs = not self.placement.on_cpu and batch_size is None and len(tokens.ids) >= budget // FEWEST_ROWS
            for batch, texts in pack(tokens, budget) if packs else self._padded(tokens, batch_size):
                yield batch, np.where(texts == NO_TEXT, NO_TEXT, texts + before)
            before += len(tokens.lengths)

    def _padded(self, tokens: RaggedIds, batch_size: int | None) -> Iterator[tuple[Batch, NDArray[np.intp]]]:
        budget, streams, compiled = self.placement.token_budget, self.placement.streams, self._programs.shapes
        for texts, shape in plan(tokens.lengths, batch_size, budget=budget, streams=streams, compiled=compiled):
            yield tokens.pad(texts, shape), np.pad(texts, (0, shape[0] - len(texts)), constant_values=NO_TEXT)


@jax.jit
def _last_hidden_state(params: Params, batch: AnyBatch, config: EncoderConfig) -> Array:
    # Imported here, as whoever wants sentence vectors from compiled programs needs neither flax nor the encoder.
    from minilm_jax.nn.encoder import encode

    return encode(params, batch, config).last_hidden_state
