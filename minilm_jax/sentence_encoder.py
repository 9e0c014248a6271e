"""`SentenceEncoder`: texts in, vectors out, by the calls that users of sentence-transformers know."""

import itertools
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from minilm_jax.config import OutputPrecision, OutputValue
from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.output_options import OutputOptions
from minilm_jax.pretrained import PretrainedModel
from minilm_jax.progress import progress_bar
from minilm_jax.runtime.workers import prefetch
from minilm_jax.sentence_transformers_api import check_device, sentence_transformers_keywords
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.packed_rows import AnyBatch
from minilm_jax.tokens.tokenizer import check_texts

# The first of these that a model has; the order is that of sentence-transformers.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_SIMILARITIES = {"cosine": "cos_sim", "dot": "dot_score", "euclidean": "euclidean_sim", "manhattan": "manhattan_sim"}


class SentenceEncoder(PretrainedModel):
    """Embeds texts with one model, and compares their vectors.

    A text's vector does not depend on the other texts, their order or the batch size.
    """

    @overload
    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int | None = ...,
        show_progress_bar: bool | None = ...,
        *,
        precision: OutputPrecision = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
    ) -> NDArray[Any]: ...

    @overload
    def encode(self, inputs: str | Iterable[str], *arguments: Any, **keywords: Any) -> Any: ...

    @sentence_transformers_keywords
    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: OutputPrecision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Embeds texts.

        Args:
            inputs: One text or several.
            prompt_name: Which of `prompts` to put before every text; by default `default_prompt_name`.
            prompt: What to put before every text, whatever prompt_name says.
            batch_size: Most texts a call; by default as many as a budget of tokens allows.
            show_progress_bar: True or False, or None for a bar on a terminal when the work is long.
            output_value: "sentence_embedding"; "token_embeddings" for a vector a token, [CLS] and [SEP] included; or
                None for a dict of both, with input_ids, token_type_ids and attention_mask.
            precision: What the vectors are rounded to, see `minilm_jax.search.quantize_embeddings`; int8 and uint8 find
                their ranges in these texts.
            convert_to_numpy: False for a list of jax arrays, one a text.
            convert_to_tensor: True for one jax array, whatever convert_to_numpy says.
            device: The kind of device that jax computes on, or None.
            normalize_embeddings: Whether to scale sentence vectors to unit length, after truncate_dim.
            truncate_dim: How many of their dimensions to keep; by default `self.truncate_dim`.

        Returns:
            float32[D] for one text, float32[n, D] for several, [0, D] for none, in the order of the texts; of tokens a
            list of float32[T, D].

        Raises:
            InputError: A text is no string or no valid Unicode, or a keyword has a value that it cannot have.

        Examples:
            >>> import minilm_jax as mj
            >>> encoder = mj.SentenceEncoder.from_pretrained()
            >>> encoder.encode("Hello world").shape
            (384,)
            >>> vectors = encoder.encode(["A cat sleeps.", "A kitten naps."])
            >>> f"{vectors[0] @ vectors[1]:.2f}"
            '0.71'
        """
        check_device(device)
        form = OutputOptions(
            value=output_value,
            precision=precision,
            convert_to_numpy=convert_to_numpy,
            convert_to_tensor=convert_to_tensor,
            normalize=normalize_embeddings,
            truncate_dim=self.truncate_dim if truncate_dim is None else truncate_dim,
        )
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        one = isinstance(inputs, str)
        texts, chosen = [inputs] if one else list(_several(inputs)), self._prompt(prompt, prompt_name)
        truncated = self.stats.truncated
        results = form.converted(self._results(texts, chosen, form, batch_size, False if one else show_progress_bar))
        if self.stats.truncated and not truncated:
            self._warn_of_truncation(len(texts))
        return results[0] if one else results

    @sentence_transformers_keywords
    def encode_query(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *arguments: Any,
        **keywords: Any,
    ) -> Any:
        """Embeds queries: `encode` with the prompt named "query", unless one is given."""
        if prompt is None and prompt_name is None and "query" in self.prompts:
            prompt_name = "query"
        return self.encode(inputs, prompt_name, prompt, *arguments, **keywords)

    @sentence_transformers_keywords
    def encode_document(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *arguments: Any,
        **keywords: Any,
    ) -> Any:
        """Embeds documents: `encode` with the prompt named "document", "passage" or "corpus", unless one is given."""
        if prompt is None and prompt_name is None:
            prompt_name = next((name for name in _DOCUMENT_PROMPTS if name in self.prompts), None)
        return self.encode(inputs, prompt_name, prompt, *arguments, **keywords)

    def encode_stream(
        self, inputs: Iterable[str], *, show_progress_bar: bool | None = None, **keywords: Any
    ) -> Iterator[NDArray[Any]]:
        """Embeds texts as they come, some thousands at a time, so that neither they nor their vectors fill the memory.

        Args:
            inputs: Any number of texts; they are taken as vectors are.
            show_progress_bar: As in `encode`.
            **keywords: Those of `encode`.

        Returns:
            An iterator over the vectors, float32[D] each, in the order of the texts.

        Raises:
            InputError: As in `encode`, or the precision would need ranges that only all texts together have.
        """
        if keywords.get("precision") in ("int8", "uint8"):
            raise InputError(
                "a stream is never seen whole, so it has no ranges to round to int8 by; take float32 and use"
                " minilm_jax.search.quantize_embeddings with ranges of your own."
            )
        return self._stream(iter(_several(inputs)), show_progress_bar, keywords)

    def _stream(self, texts: Iterator[str], show: bool | None, keywords: Mapping[str, Any]) -> Iterator[NDArray[Any]]:
        with progress_bar(None, show) as progress:
            while chunk := list(itertools.islice(texts, self.chunk)):
                yield from self.encode(chunk, show_progress_bar=False, **keywords)
                progress.update(len(chunk))

    def embed_batches(self, batches: Iterable[AnyBatch]) -> Iterator[NDArray[np.float32]]:
        """Embeds batches of token ids, several side by side; `encode` makes such batches from texts.

        Args:
            batches: Each of int[B, T] arrays, or of packed rows; every new shape is compiled once.

        Yields:
            float32[B, D], or [B, S, D], for each batch, in their order.
        """
        return (vectors.astype(np.float32, copy=False) for vectors in self._engine.embed_batches(batches))

    @property
    def chunk(self) -> int:
        """How many texts are worth a call of `encode` where there are more: thousands, on accelerators tens of them."""
        return self._engine.placement.chunk

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Array:
        """Compares every vector with every other by `similarity_fn_name`, see `minilm_jax.search`.

        Args:
            embeddings1: float[n, D], or one vector [D].
            embeddings2: float[m, D], or one vector [D].

        Returns:
            float32[n, m].

        Raises:
            InputError: The vectors differ in their dimensions, or similarity_fn_name is unknown.
        """
        return self._compare("", embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Array:
        """Compares each vector with the one in the same place by `similarity_fn_name`.

        Args:
            embeddings1: float[n, D], or one vector [D].
            embeddings2: Of the same shape.

        Returns:
            float32[n], or a scalar for two vectors.

        Raises:
            InputError: The shapes differ, or similarity_fn_name is unknown.
        """
        return self._compare("pairwise_", embeddings1, embeddings2)

    def _compare(self, prefix: str, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Array:
        from minilm_jax.vectors import similarity

        name = self.similarity_fn_name
        if name not in _SIMILARITIES:
            near = did_you_mean(name, _SIMILARITIES)
            raise InputError(f"similarity_fn_name is {name!r}; it must be one of {', '.join(_SIMILARITIES)}.{near}")
        return getattr(similarity, prefix + _SIMILARITIES[name])(embeddings1, embeddings2)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        name = prompt_name or self.default_prompt_name
        if prompt is not None or name is None:
            return prompt or ""
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts))
            raise InputError(f"no prompt is named {name!r}; there are {known}.{did_you_mean(name, self.prompts)}")
        return self.prompts[name]

    def _tokenized(self, texts: list[str], prompt: str) -> RaggedIds:
        if prompt:
            check_texts(texts)
            texts = [prompt + text for text in texts]
        tokenized = self.tokenizer(texts, self.max_seq_length)
        self.stats.texts += len(texts)
        self.stats.truncated += tokenized.truncated
        self.stats.tokens += len(tokenized.tokens.ids)
        self.stats.longest = max(self.stats.longest, tokenized.longest)
        return tokenized.tokens

    def _warn_of_truncation(self, count: int) -> None:
        frames = (frame.f_globals["__name__"].partition(".")[0] for frame, _ in traceback.walk_stack(sys._getframe()))
        warnings.warn(
            f"{self.stats.truncated} of {count} texts are longer than {self.max_seq_length} tokens (the longest has"
            f" {self.stats.longest}) and were cut there. Raise max_seq_length (at most"
            f" {self.config.max_position_embeddings}) or split them; stats.truncated counts them from here on.",
            # Whoever called us, through however many functions of ours.
            stacklevel=sum(1 for _ in itertools.takewhile("minilm_jax".__eq__, frames)) + 1,
        )

    def _results(self, texts: list[str], prompt: str, form: OutputOptions, *how: Any) -> Any:
        if form.value == "sentence_embedding":
            return form.sentences(self._engine.sentence_vectors(self._chunks(texts, prompt), len(texts), *how))
        tokens = self._tokenized(texts, prompt)
        token_vectors = self._engine.token_vectors(tokens, *how)
        if form.value == "token_embeddings":
            return form.tokens(token_vectors)
        return form.everything(tokens, token_vectors, self._engine.sentence_vectors([tokens], len(texts), *how))

    def _chunks(self, texts: list[str], prompt: str) -> Iterator[RaggedIds]:
        """Tokenizes texts: all at once where the same cores compute, else some ahead of what is computed."""
        size = len(texts) if self._engine.placement.on_cpu else self.chunk
        if len(texts) <= size:
            return iter([self._tokenized(texts, prompt)])
        parts = (texts[start : start + size] for start in range(0, len(texts), size))
        return prefetch(self._tokenized(part, prompt) for part in parts)


def _several(inputs: Iterable[str]) -> Iterable[str]:
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes | Mapping):
        raise InputError(f"inputs is {type(inputs).__name__}; it must be a string or an iterable of strings.")
    return inputs
