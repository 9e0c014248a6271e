"""`SentenceEncoder`: texts in, vectors out, with everything between them taken care of."""

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minilm_jax.batching import Batch, RaggedIds, plan
from minilm_jax.casting import cast
from minilm_jax.checkpoint import load_params
from minilm_jax.config import EncoderConfig, read_config, read_max_seq_length
from minilm_jax.errors import InputError, ModelFileError
from minilm_jax.model_files import DEFAULT_MODEL, model_folder
from minilm_jax.params import Params
from minilm_jax.precision import Precision
from minilm_jax.programs import Programs
from minilm_jax.streams import side_by_side, stream_count
from minilm_jax.tokenization import DEFAULT_MAX_SEQ_LENGTH, TOKENIZER_FILE, TextTokenizer, Tokenized

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


class SentenceEncoder:
    """Embeds texts with one model.

    Attributes:
        config: Sizes and pooling of the encoder.
        tokenizer: Texts to token ids.
        max_seq_length: Most tokens a text; what is longer is cut, counted and warned of.
        stats: What was done so far.
    """

    def __init__(
        self,
        params: Params,
        config: EncoderConfig,
        tokenizer: TextTokenizer,
        max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH,
    ) -> None:
        """Puts an encoder together; `from_pretrained` finds the parts by itself.

        Args:
            params: The parameter tree of config.
            config: Sizes and pooling of the encoder.
            tokenizer: The model's tokenizer.
            max_seq_length: Most tokens a text, up to the position table.

        Raises:
            InputError: max_seq_length exceeds the position table.
            ModelFileError: The tokenizer has more tokens than the model.
        """
        if max_seq_length > config.max_position_embeddings:
            raise InputError(
                f"max_seq_length is {max_seq_length}; the model has {config.max_position_embeddings} positions."
            )
        if tokenizer.vocab_size > config.vocab_size:
            raise ModelFileError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}; they are not a pair."
            )
        self.config, self.tokenizer = config, tokenizer
        self.max_seq_length = max_seq_length
        self.stats = Stats()
        self._params, self._programs = params, Programs(params, config)

    @property
    def params(self) -> Params:
        """The parameter tree."""
        return self._params

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = DEFAULT_MODEL,
        *,
        precision: Precision = "float32",
        max_seq_length: int | None = None,
        cache_dir: str | Path | None = None,
    ) -> "SentenceEncoder":
        """Loads a model with its tokenizer.

        Args:
            source: A model's name, or a folder: one that `python -m convert` wrote, or one from the hub.
            precision: What to compute in: "float32", "bfloat16" or "int8", see `minilm_jax.cast`.
            max_seq_length: Most tokens a text; by default what the model folder says, else 256.
            cache_dir: Where downloaded files are kept, see `minilm_jax.model_files`.

        Returns:
            The encoder.

        Raises:
            InputError: The precision is unknown.
            ModelFileError: A file is missing, damaged, or of another kind of model.
        """
        folder = model_folder(source, cache_dir=cache_dir)
        config = read_config(folder)
        return cls(
            cast(load_params(folder, config), precision, config),
            config,
            TextTokenizer(folder / TOKENIZER_FILE),
            max_seq_length or _trained_length(folder, config),
        )

    def encode(
        self,
        inputs: str | Iterable[str],
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> NDArray[np.float32]:
        """Embeds texts.

        A text's vector does not depend on the other texts, their order or the batch size.

        Args:
            inputs: One text or several.
            batch_size: Most texts a call; by default as many as a budget of tokens allows.
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.

        Returns:
            float32[D] for one text, float32[n, D] for several, [0, D] for none; in the order of the texts.

        Raises:
            InputError: A text is no string or no valid Unicode, or batch_size is not positive.

        Examples:
            >>> import minilm_jax as mj
            >>> encoder = mj.SentenceEncoder.from_pretrained()
            >>> encoder.encode("Hello world").shape
            (384,)
            >>> vectors = encoder.encode(["A cat sleeps.", "A kitten naps."])
            >>> f"{vectors[0] @ vectors[1]:.2f}"
            '0.71'
        """
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if isinstance(inputs, str):
            return self.encode([inputs], batch_size=batch_size, show_progress_bar=False)[0]
        if not isinstance(inputs, Iterable) or isinstance(inputs, bytes | Mapping):
            raise InputError(f"inputs is {type(inputs).__name__}; it must be a string or an iterable of strings.")
        tokenized = self.tokenizer(list(inputs), self.max_seq_length)
        self._note(tokenized)
        return self._embed_all(tokenized.tokens, batch_size, show_progress_bar)

    def _embed_all(
        self, tokens: RaggedIds, batch_size: int | None, show_progress_bar: bool | None
    ) -> NDArray[np.float32]:
        vectors = np.empty((len(tokens.lengths), self.config.hidden_size), np.float32)
        streams = stream_count()
        batches = list(plan(tokens.lengths, batch_size, streams=streams, compiled=self._programs.shapes))
        # tqdm's None shows a bar on a terminal only.
        disable = None if show_progress_bar is None else not show_progress_bar
        with tqdm(total=len(vectors), unit="text", delay=_PROGRESS_DELAY, disable=disable) as progress:
            computed = self.embed_batches(tokens.pad(rows, shape) for rows, shape in batches)
            for (rows, (b, t)), found in zip(batches, computed, strict=True):
                vectors[rows] = found[: len(rows)]
                self.stats.computed_tokens += b * t
                progress.update(len(rows))
        return vectors

    def embed_batches(self, batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
        """Embeds batches of token ids, several side by side; `encode` makes such batches from texts.

        Args:
            batches: Each of int32[B, T] arrays; every new shape is compiled once.

        Yields:
            float32[B, D] for each batch, in their order.
        """
        yield from side_by_side(lambda batch: np.asarray(self._programs(batch)), batches, stream_count())
        self.stats.compilations = len(self._programs.shapes)

    def _note(self, tokenized: Tokenized) -> None:
        if tokenized.truncated and not self.stats.truncated:
            warnings.warn(
                f"{tokenized.truncated} of {len(tokenized.tokens.lengths)} texts are longer than {self.max_seq_length}"
                f" tokens (the longest has {tokenized.longest}) and were cut there. Raise max_seq_length (at most"
                f" {self.config.max_position_embeddings}) or split them; stats.truncated counts them from here on.",
                stacklevel=3,
            )
        self.stats.texts += len(tokenized.tokens.lengths)
        self.stats.truncated += tokenized.truncated
        self.stats.tokens += len(tokenized.tokens.ids)


def _trained_length(folder: Path, config: EncoderConfig) -> int:
    return min(read_max_seq_length(folder) or DEFAULT_MAX_SEQ_LENGTH, config.max_position_embeddings)
