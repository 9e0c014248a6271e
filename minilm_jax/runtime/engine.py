"""`Engine`: computes the results of many texts from their token ids, in batches on several workers."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.params import Params
from minilm_jax.nn.settings import device_use, enable_jit
from minilm_jax.progress import progress_bar
from minilm_jax.runtime.devices import Device, DeviceGroup, describe_devices
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.runtime.programs import Programs
from minilm_jax.runtime.workers import parallel_map
from minilm_jax.tokens.batch_plan import BatchPlanner, one_text_per_row
from minilm_jax.tokens.batching import Batch, RaggedIds, split_rows
from minilm_jax.tokens.packed_rows import NO_TEXT, AnyBatch, PackedBatch, pack

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# On CPU, parts of a batch have this many tokens per device, which stay in a core's cache.
_CPU_PART = 1_024


@dataclasses.dataclass
class Stats:
    """Counts of an encoder's work so far.

    Attributes:
        texts: Texts embedded.
        truncated: Texts among them that were truncated at max_seq_length.
        longest: Tokens of the longest text, before truncation.
        tokens: Tokens of all texts, after truncation.
        computed_tokens: Tokens computed, padding included.
        compilations: Programs made, each for one shape of batches: compiled by XLA, or loaded from disk.
        loaded: Programs among them that were loaded.
        compile_seconds: Seconds spent on compilation.
        computed_in: The dtype of the matrix products: "float32", "bfloat16", "float16" or "int8". It can differ from
            the requested precision: CPUs without bfloat16 instructions use float32, accelerators bfloat16 for int8.
    """

    texts: int = 0
    truncated: int = 0
    longest: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    compilations: int = 0
    loaded: int = 0
    compile_seconds: float = 0.0
    computed_in: str = "float32"

    @property
    def padding(self) -> float:
        """Fraction of the computed tokens that was padding."""
        return 1 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0


class Work(NamedTuple):
    """A batch with the texts in it.

    Attributes:
        batch: The token ids.
        texts: int[B, S], the index of the text in each place, or NO_TEXT.
    """

    batch: PackedBatch
    texts: NDArray[np.intp]


class Engine:
    """Computation of vectors or logits with one model, in batches on several workers.

    Attributes:
        stats: Counts of the work so far.
        devices: The devices that compute.
    """

    def __init__(
        self,
        params: Params,
        config: EncoderConfig,
        devices: DeviceGroup | None = None,
        store: ProgramStore | None = None,
    ) -> None:
        """Create an engine without compiled programs.

        Args:
            params: The parameter tree.
            config: The encoder's config.
            devices: The devices that compute; jax's default device if None.
            store: Where compiled programs are kept for the next process, if anywhere.
        """
        self.devices, self._config = devices or describe_devices(), config
        self._programs = Programs(params, config, self.devices, store)
        self._planner = BatchPlanner(self.devices.shapes_in(self._programs.computed_in))
        self.stats = Stats(computed_in=self._programs.computed_in)

    def __copy__(self) -> "Engine":
        """Return an engine with its own counts that shares the compiled programs, which never change."""
        other = object.__new__(Engine)
        other.__dict__ |= self.__dict__
        other.stats = dataclasses.replace(self.stats)
        return other

    @property
    @device_use()
    @enable_jit
    def params(self) -> Params:
        """The parameter tree; on CPU, parts of it are copies."""
        return jax.tree.map(jnp.asarray, self._programs.compiler.original_params)

    @property
    def device(self) -> Device:
        """The device that computes; with several, the first."""
        leaf, *_ = jax.tree.leaves(self._programs.params)
        return min(leaf.devices(), key=lambda device: device.id)

    def embed_batches(self, batches: Iterable[AnyBatch]) -> Iterator[NDArray[np.floating]]:
        """Embed batches of token ids, several at a time.

        Args:
            batches: The batches; on CPU, one above the token budget is split by its rows.

        Yields:
            float[B, D] or [B, S, D] for each batch, in order.
        """
        parts = ((len(split), part) for split in map(self._parts, batches) for part in split)
        computed = self._map(lambda item: (item[0], self._programs(item[1])), parts)
        for count, first in computed:
            rest = [vectors for _, vectors in itertools.islice(computed, count - 1)]
            yield np.concatenate([first, *rest]) if rest else first

    def sentence_vectors(
        self,
        chunks: Iterable[RaggedIds],
        count: int,
        longest: int,
        batch_size: int | None = None,
        show_progress_bar: bool | None = False,
        workers: int | None = None,
    ) -> NDArray[np.float32]:
        """Compute the vector of each text, or the logits of a classifier.

        Args:
            chunks: The token ids of the texts or pairs, in one or more parts.
            count: Number of texts in all chunks, n.
            longest: Maximum tokens per text.
            batch_size: Maximum texts per batch, or None.
            show_progress_bar: Whether to show a bar, or None for a bar on terminals if the work is long.
            workers: Number of threads that compute; by default that of the devices.

        Returns:
            float32[n, E], in the order of the texts, where E is `config.output_size`.
        """
        vectors = np.empty((count, self._config.output_size), np.float32)
        for texts, found in self.results(chunks, count, longest, batch_size, show_progress_bar, workers):
            vectors[texts] = found
        return vectors

    def results(
        self,
        chunks: Iterable[RaggedIds],
        count: int,
        longest: int,
        batch_size: int | None = None,
        show_progress_bar: bool | None = False,
        workers: int | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.floating]]]:
        """Compute the same as `sentence_vectors`, batch by batch.

        Args:
            chunks: As in `sentence_vectors`, like the other arguments.
            count: Number of texts in all chunks, n.
            longest: Maximum tokens per text.
            batch_size: Maximum texts per batch, or None.
            show_progress_bar: Whether to show a bar.
            workers: Number of threads.

        Yields:
            The indices of the texts in a batch, int[b], and their results, float[b, E], where E is
            `config.output_size`.
        """
        with progress_bar(count, show_progress_bar) as progress:
            for texts, found in self._map(self._embed, self._batches(chunks, longest, batch_size), workers):
                yield texts, found
                progress.update(len(texts))

    def token_vectors(
        self,
        tokens: RaggedIds,
        longest: int,
        batch_size: int | None = None,
        show_progress_bar: bool | None = False,
        workers: int | None = None,
    ) -> list[NDArray[np.float32]]:
        """Compute the last hidden state of texts.

        Args:
            tokens: The token ids of n texts.
            longest: As in `sentence_vectors`.
            batch_size: As in `sentence_vectors`.
            show_progress_bar: As in `sentence_vectors`.
            workers: As in `sentence_vectors`.

        Returns:
            n arrays of float32[T, D], without padding, in the order of the texts.
        """
        vectors = [np.empty(0, np.float32)] * len(tokens.lengths)
        with progress_bar(len(vectors), show_progress_bar) as progress:
            for texts, found in self._map(self._encode, self._batches([tokens], longest, batch_size), workers):
                for text, hidden_state in zip(texts.tolist(), found, strict=True):
                    vectors[text] = hidden_state
                progress.update(len(texts))
        return vectors

    def warm_up(self, lengths: Iterable[int], batch_sizes: Iterable[int], longest: int) -> None:
        """Make the programs for lists of texts, and no others later, except for longer texts than these.

        Args:
            lengths: Tokens per text.
            batch_sizes: Texts per list.
            longest: Maximum tokens per text.
        """
        computed, self._planner.warming, self._planner.closed = self.stats.computed_tokens, True, False
        try:
            for length, count in itertools.product(sorted({*lengths, longest}, reverse=True), batch_sizes):
                tokens = _example(count, length, self._config)
                self.sentence_vectors([tokens], count, longest)
            self._programs.upgrade()
            self._planner.closed = True
        finally:
            self._planner.warming, self.stats.computed_tokens = False, computed

    def warm_up_for_requests(self, longest: int) -> None:
        """Make the programs for requests of any size, and no others later.

        Args:
            longest: Maximum tokens per text.
        """
        shapes = self.devices.shapes.request_shapes(longest)
        examples = [
            pack(_example(rows, length, self._config), one_text_per_row((rows, length)), length)
            for rows, length in shapes
        ]
        # Faster programs replace them later, as in `encode`; making those now would delay the first request.
        collections.deque(self._map(self._programs, examples), maxlen=0)
        self._planner.shapes, self._planner.closed = frozenset(shapes), True

    def _map(
        self, compute: Callable[[_Item], _Result], items: Iterable[_Item], workers: int | None = None
    ) -> Iterator[_Result]:
        yield from parallel_map(compute, items, workers or self.devices.workers)
        compiler = self._programs.compiler
        self.stats.compilations, self.stats.loaded = self._programs.compilations, compiler.loaded
        self.stats.compile_seconds = compiler.compile_seconds

    def _embed(self, work: Work) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        used = work.texts != NO_TEXT
        return work.texts[used], self._programs(work.batch)[used]

    def _encode(self, work: Work) -> tuple[NDArray[np.intp], list[NDArray[np.float32]]]:
        hidden_state, used = self._programs.last_hidden_state(work.batch), np.nonzero(work.texts != NO_TEXT)
        lengths = work.batch.lengths
        starts = (lengths.cumsum(axis=1) - lengths)[used].tolist()
        spans = zip(used[0].tolist(), starts, lengths[used].tolist(), strict=True)
        found = [hidden_state[row, start : start + length].copy() for row, start, length in spans]
        return work.texts[used], found

    def _parts(self, batch: AnyBatch) -> list[AnyBatch]:
        # On CPU, a part must fit the cache of one core; accelerators get the full batch.
        if isinstance(batch, Batch) and self.devices.on_cpu:
            return [*split_rows(batch, _CPU_PART * self.devices.count)]
        return [batch]

    def _batches(self, chunks: Iterable[RaggedIds], longest: int, batch_size: int | None) -> Iterator[Work]:
        """Yield the batches of all chunks; their text indices count across chunks."""
        before = 0
        for tokens in chunks:
            for texts, row_length in self._planner.plan(tokens.lengths, longest, batch_size):
                batch = pack(tokens, texts, row_length)
                self.stats.computed_tokens += batch.input_ids.size
                yield Work(batch, np.where(texts == NO_TEXT, NO_TEXT, texts + before) if before else texts)
            before += len(tokens.lengths)


def _example(count: int, length: int, config: EncoderConfig) -> RaggedIds:
    """Return texts of equal length, or pairs for a classifier; pairs have token types if the model has several."""
    lengths = np.full(count, length, np.int32)
    has_types = config.classifier is not None and config.type_vocab_size > 1
    return RaggedIds(np.zeros(count * length, np.int32), lengths, lengths // 2 if has_types else None)
