"""Many texts' token ids to their vectors: planned into batches, computed side by side, counted, with a progress bar."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray
from tqdm import tqdm

from minilm_jax.batching import Batch, RaggedIds, pieces, plan
from minilm_jax.config import EncoderConfig
from minilm_jax.params import Params
from minilm_jax.programs import Programs
from minilm_jax.streams import side_by_side, stream_count

# Seconds before a progress bar appears, so that short work shows none.
_PROGRESS_DELAY = 1.0


@dataclasses.dataclass
class Stats:
    """What an encoder has done so far.

    Attributes:
        texts: Texts embedded.
        truncated: How many of them were cut at max_seq_length.
        tokens: Their tokens, after truncation.
        computed_tokens: Tokens computed, padding included.
        compilations: Shapes that a program was made for, by XLA or from the compilation cache.
    """

    texts: int = 0
    truncated: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    compilations: int = 0

    @property
    def padding(self) -> float:
        """Fraction of the computed tokens that was padding."""
        return 1 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0


class Engine:
    """Computes vectors with one model.

    Attributes:
        stats: What was done so far.
    """

    def __init__(self, params: Params, config: EncoderConfig) -> None:
        """Starts with nothing compiled.

        Args:
            params: The parameter tree.
            config: Sizes and pooling of the encoder that params belong to.
        """
        self.stats = Stats()
        self._config, self._programs = config, Programs(params, config)

    def embed_batches(self, batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
        """Embeds batches of token ids, several side by side, in their order: float32[B, D] each."""
        counts: collections.deque[int] = collections.deque()

        def parts() -> Iterator[Batch]:
            for batch in batches:
                # A CPU's caches hold so much of a batch; an accelerator takes it whole.
                cut = pieces(batch) if jax.default_backend() == "cpu" else [batch]
                counts.append(len(cut))
                yield from cut

        computed = side_by_side(lambda batch: np.asarray(self._programs(batch)), parts(), stream_count())
        for first in computed:
            rest = list(itertools.islice(computed, counts.popleft() - 1))
            yield np.concatenate([first, *rest]) if rest else first
        self.stats.compilations = len(self._programs.shapes)

    def sentence_vectors(
        self, tokens: RaggedIds, batch_size: int | None, show_progress_bar: bool | None
    ) -> NDArray[np.float32]:
        """Returns float32[n, D], a vector a text, in the order of the texts."""
        vectors = np.empty((len(tokens.lengths), self._config.hidden_size), np.float32)
        for rows, found in self._planned(self.embed_batches, tokens, batch_size, show_progress_bar):
            vectors[rows] = found[: len(rows)]
        return vectors

    def token_vectors(
        self, tokens: RaggedIds, batch_size: int | None, show_progress_bar: bool | None
    ) -> list[NDArray[np.float32]]:
        """Returns a float32[T, D] for each text, a vector a token and none for padding, in the order of the texts."""
        vectors = [np.empty(0, np.float32)] * len(tokens.lengths)
        for rows, found in self._planned(self._token_batches, tokens, batch_size, show_progress_bar):
            for row, hidden_state in zip(rows, found, strict=False):
                vectors[row] = hidden_state[: tokens.lengths[row]].copy()
        return vectors

    def _token_batches(self, batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
        params = self._programs.params
        return side_by_side(
            lambda batch: np.asarray(_last_hidden_state(params, batch, self._config)), batches, stream_count()
        )

    def _planned(
        self,
        compute: Callable[[Iterator[Batch]], Iterator[NDArray[np.float32]]],
        tokens: RaggedIds,
        batch_size: int | None,
        show_progress_bar: bool | None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Yields the texts of each batch with what was computed of them."""
        batches = list(plan(tokens.lengths, batch_size, streams=stream_count(), compiled=self._programs.shapes))
        with progress_bar(len(tokens.lengths), show_progress_bar) as progress:
            computed = compute(tokens.pad(rows, shape) for rows, shape in batches)
            for (rows, (b, t)), found in zip(batches, computed, strict=True):
                yield rows, found
                self.stats.computed_tokens += b * t
                progress.update(len(rows))


def progress_bar(total: int | None, show: bool | None) -> "tqdm[NoReturn]":
    """Returns a bar over texts; where show is None it appears on a terminal only, and when the work is long."""
    return tqdm(total=total, unit="text", delay=_PROGRESS_DELAY, disable=None if show is None else not show)


@jax.jit
def _last_hidden_state(params: Params, batch: Batch, config: EncoderConfig) -> Array:
    # Imported here, as whoever wants sentence vectors from compiled programs needs neither flax nor the encoder.
    from minilm_jax.encoder import encode

    return encode(params, batch, config).last_hidden_state
