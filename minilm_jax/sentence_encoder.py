"""`SentenceEncoder`: embeds texts, with the methods and keywords of sentence-transformers."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.checkpoints.folder_config import Settings
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.config import EncoderConfig, OutputPrecision, OutputValue, Precision
from minilm_jax.errors import InputError
from minilm_jax.forks import check_not_forked
from minilm_jax.nn.params import Params
from minilm_jax.output_options import OutputOptions
from minilm_jax.progress import progress_bar
from minilm_jax.runtime.devices import Devices
from minilm_jax.sentence_transformers_api import sentence_transformers_keywords
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.batching import RaggedIds, one_batch
from minilm_jax.tokens.packed_rows import AnyBatch
from minilm_jax.tokens.texts import as_texts, iterate_texts
from minilm_jax.tokens.tokenizer import TextTokenizer
from minilm_jax.vectors.similarity import HOW_TO_COMPARE_BITS, similarity_functions


class StreamKeywords(TypedDict, total=False):
    """Keywords that `encode_stream` passes on to `encode`."""

    prompt_name: str | None
    prompt: str | None
    batch_size: int | None
    output_value: OutputValue | None
    precision: OutputPrecision
    convert_to_numpy: bool
    convert_to_tensor: bool
    device: str | None
    normalize_embeddings: bool
    truncate_dim: int | None


class SentenceEncoder(TextModel):
    """Encoder that embeds texts with one model and compares their vectors.

    A text's vector does not depend on the other texts, their order or the batch size.

    Attributes:
        config: The config of the encoder.
        tokenizer: The tokenizer.
        prompts: Prompts by their names; a prompt is put before every text of a call.
        default_prompt_name: Name of the prompt that is used by default, or None.
        similarity_fn_name: The similarity function: "cosine", "dot", "euclidean" or "manhattan".
    """

    _default_source = DEFAULT_MODEL

    @sentence_transformers_keywords
    def __init__(
        self,
        source: str | Path | Params = DEFAULT_MODEL,
        config: EncoderConfig | None = None,
        tokenizer: TextTokenizer | None = None,
        max_seq_length: int | None = None,
        *,
        precision: Precision = "float32",
        cache_dir: str | Path | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        device: str | None = None,
        mesh: Mesh | None = None,
        devices: Devices | None = None,
        store_programs: bool = True,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        """Load a model, or combine params with their config and tokenizer.

        Args:
            source: A model's name, its folder, or a parameter tree.
            config: The config of a parameter tree; by default the one that it carries.
            tokenizer: The tokenizer of a parameter tree.
            max_seq_length: Maximum tokens per text, at most the size of the position table; by default the model
                folder's value, or 256.
            precision: The precision that a loaded model computes in, see `minilm_jax.cast`.
            cache_dir: The folder for downloaded files, see `minilm_jax.checkpoints.cache`.
            revision: A branch, tag or commit of a model on the Hugging Face hub.
            token: An access token for the hub, or True for the one stored by `hf auth login`.
            local_files_only: Whether to use only files of the hub that are already in its cache.
            device: The kind of device that jax computes on, or None.
            mesh: Devices that split the rows of every batch, such as `jax.make_mesh((8,), ("data",))`; each holds all
                params. By default, one device computes.
            devices: The same without a mesh: "all" devices of this process, or a list.
            store_programs: Whether to keep compiled programs on disk for the next process: in `programs` in the cache
                folder, or in the folder that the environment variable MINILM_JAX_PROGRAMS names.
            prompts: Prompts by their names, in addition to those of the folder.
            default_prompt_name: Overrides the value of the folder, like the following two.
            similarity_fn_name: By default that of the folder, or "cosine".
            truncate_dim: By default that of the folder, or all dimensions.

        Raises:
            InputError: max_seq_length exceeds the position table, the precision or a device is unknown, or a part is
                missing.
            ModelFileError: A file is missing, damaged, or belongs to another kind of model, or the tokenizer has more
                tokens than the model.
        """
        self._set_up(
            source,
            config,
            tokenizer,
            max_seq_length,
            precision=precision,
            cache_dir=cache_dir,
            hub=HubOptions(revision, token, local_files_only),
            device=device,
            mesh=mesh,
            devices=devices,
            store_programs=store_programs,
            prompts=prompts,
            default_prompt_name=default_prompt_name,
        )
        self.similarity_fn_name = similarity_fn_name or self._settings.similarity_fn_name or "cosine"
        similarity_functions(self.similarity_fn_name)
        self.truncate_dim = self._settings.truncate_dim if truncate_dim is None else truncate_dim

    @staticmethod
    def _checked(config: EncoderConfig) -> EncoderConfig:
        """Return the config if it has no head for another task."""
        for head, other in (("classifier", "CrossEncoder"), ("sparse_head", "SparseEncoder")):
            if getattr(config, head) is not None:
                raise InputError(f"this model does not return sentence vectors; load it with minilm_jax.{other}.")
        return config

    def __repr__(self) -> str:
        group = self._engine.devices
        return (
            f"SentenceEncoder({self._name!r}, precision={self.stats.computed_in!r},"
            f" devices='{group.count} × {group.platform}', dimensions={self.get_embedding_dimension()},"
            f" layers={self.config.num_hidden_layers}, max_seq_length={self.max_seq_length})"
        )

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model to a folder that sentence-transformers, transformers and this class load.

        Args:
            path: The folder; an earlier model in it is replaced, and other files stay.

        Raises:
            InputError: The model's precision is not float32, the path is a file, or the folder contains a file that
                would be loaded instead of the model.
            OSError: The folder cannot be written.
        """
        settings = Settings(
            self.prompts, self.default_prompt_name, self.similarity_fn_name, truncate_dim=self.truncate_dim
        )
        write_model_folder(Path(path), self.params, self.config, self.tokenizer, self.max_seq_length, settings)

    @property
    def truncate_dim(self) -> int | None:
        """Number of dimensions of the vectors, or None for all."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, count: int | None) -> None:
        self._truncate_dim = None if count is None else integer("truncate_dim", count)

    def get_embedding_dimension(self) -> int:
        """Return the number of dimensions of the vectors."""
        return min(self.config.embedding_size, self.truncate_dim or self.config.embedding_size)

    get_sentence_embedding_dimension = get_embedding_dimension

    def tokenize(self, texts: str | Iterable[str]) -> dict[str, NDArray[np.int32]]:
        """Tokenize texts as `encode` does, truncated at max_seq_length and padded to the longest.

        Args:
            texts: One text or several.

        Returns:
            input_ids, attention_mask and token_type_ids, int32[n, T] each, which `embed` takes as they are.

        Raises:
            InputError: There is no text, or one that is not a valid string.
        """
        texts = as_texts([texts] if isinstance(texts, str) else texts)
        if not texts:
            raise InputError("texts is empty; tokenize needs at least one text.")
        tokens = self.tokenizer(texts, self.max_seq_length).tokens
        return one_batch(tokens, int(tokens.lengths.max()), self.tokenizer.pad_id)._asdict()

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
        """Embed texts.

        Args:
            inputs: One text or several.
            prompt_name: The name of the prompt in `prompts` to put before every text; by default
                `default_prompt_name`.
            prompt: The prompt itself; it overrides prompt_name.
            batch_size: Maximum texts per batch; by default as many as the token budget allows.
            show_progress_bar: True or False, or None for a bar on terminals if the work is long.
            output_value: "sentence_embedding"; "token_embeddings" for one vector per token, including [CLS] and [SEP];
                or None for a dict of both, with input_ids, token_type_ids and attention_mask.
            precision: The precision of the returned vectors, see `minilm_jax.search.quantize_embeddings`; int8 and
                uint8 use the ranges of these texts' vectors.
            convert_to_numpy: False for a list of jax arrays, one per text.
            convert_to_tensor: True for one jax array; it overrides convert_to_numpy.
            device: The kind of device that jax computes on, or None.
            normalize_embeddings: Whether to scale sentence vectors to unit length, after truncate_dim.
            truncate_dim: Number of dimensions to keep; by default `self.truncate_dim`.

        Returns:
            float32[D] for one text, float32[n, D] for several, [0, D] for none, in the order of the texts; for tokens a
            list of float32[T, D].

        Raises:
            InputError: A text is not a string or not valid Unicode, or a keyword has an invalid value.

        Examples:
            >>> import minilm_jax as mj
            >>> encoder = mj.SentenceEncoder.from_pretrained()
            >>> encoder.encode("Hello world").shape
            (384,)
            >>> vectors = encoder.encode(["A cat sleeps.", "A kitten naps."])
            >>> f"{vectors[0] @ vectors[1]:.2f}"
            '0.71'
        """
        options = OutputOptions(
            value=output_value,
            precision=precision,
            convert_to_numpy=convert_to_numpy,
            convert_to_tensor=convert_to_tensor,
            normalize=normalize_embeddings,
            truncate_dim=self.truncate_dim if truncate_dim is None else truncate_dim,
        )
        if batch_size is not None:
            batch_size = integer("batch_size", batch_size)
        is_single = isinstance(inputs, str)
        texts = as_texts([inputs] if is_single else inputs, "inputs")
        prefix, show = self._prompt(prompt, prompt_name), False if is_single else show_progress_bar
        truncated = self._begin(device)
        if options.value == "sentence_embedding":
            results = options.sentences(self._sentence_vectors(texts, prefix, batch_size, show))
        else:
            results = self._token_results(texts, prefix, options, batch_size, show)
        results = options.converted(results)
        self._end(truncated, len(texts))
        return results[0] if is_single else results

    @sentence_transformers_keywords
    def encode_query(
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
        """Embed queries: `encode` with the prompt named "query", unless another is given."""
        if prompt is None and prompt_name is None:
            prompt_name = self.query_prompt_name
        return self.encode(
            inputs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
        )

    @sentence_transformers_keywords
    def encode_document(
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
        """Embed documents: `encode` with the prompt "document", "passage" or "corpus", unless another is given."""
        if prompt is None and prompt_name is None:
            prompt_name = self.document_prompt_name
        return self.encode(
            inputs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
        )

    def encode_stream(
        self, inputs: Iterable[str], *, show_progress_bar: bool | None = None, **keywords: Unpack[StreamKeywords]
    ) -> Iterator[NDArray[Any]]:
        """Embed texts as they arrive, thousands at a time, so that neither texts nor vectors need to fit in memory.

        Args:
            inputs: Any number of texts, consumed as needed.
            show_progress_bar: As in `encode`.
            **keywords: Those of `encode`.

        Returns:
            An iterator over the vectors, float32[D] each, in the order of the texts.

        Raises:
            InputError: As in `encode`, or the precision is int8 or uint8, which needs the ranges of all vectors.
        """
        if keywords.get("precision") in ("int8", "uint8"):
            raise InputError(
                "int8 and uint8 need the ranges of all vectors, which a stream does not have; use float32, and"
                " minilm_jax.search.quantize_embeddings with your own ranges."
            )
        return self._stream(iterate_texts(inputs, "inputs"), show_progress_bar, keywords)

    def _stream(self, texts: Iterator[str], show: bool | None, keywords: StreamKeywords) -> Iterator[NDArray[Any]]:
        with progress_bar(None, show) as progress:
            while chunk := list(itertools.islice(texts, self.chunk)):
                yield from self.encode(chunk, show_progress_bar=False, **keywords)
                progress.update(len(chunk))

    def compute_tokens(self, tokens: RaggedIds) -> list[NDArray[np.float32]]:
        """Compute the token vectors of texts that are tokenized already, like `compute`.

        Args:
            tokens: The token ids of n texts, see `token_ids`.

        Returns:
            n arrays of float32[T, D], in the order of the texts.
        """
        check_not_forked()
        return self._engine.token_vectors(tokens, self.max_seq_length, workers=1)

    def embed_batches(self, batches: Iterable[AnyBatch]) -> Iterator[NDArray[np.float32]]:
        """Embed batches of token ids, several at a time; `encode` makes such batches from texts.

        Args:
            batches: Batches of int[B, T] arrays, or of packed rows; each new shape is compiled once.

        Yields:
            float32[B, D], or [B, S, D], for each batch, in order.
        """
        return (vectors.astype(np.float32, copy=False) for vectors in self._engine.embed_batches(batches))

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Array:
        """Compare every vector with every other by `similarity_fn_name`, see `minilm_jax.search`.

        Args:
            embeddings1: float[n, D], or one vector [D].
            embeddings2: float[m, D], or one vector [D].

        Returns:
            float32[n, m].

        Raises:
            InputError: The vectors differ in their dimensions or are quantized to bits, or similarity_fn_name is
                unknown.
        """
        self._check_not_bits(embeddings1, embeddings2)
        return similarity_functions(self.similarity_fn_name).all_pairs(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Array:
        """Compare each vector with the vector at the same index by `similarity_fn_name`.

        Args:
            embeddings1: float[n, D], or one vector [D].
            embeddings2: An array of the same shape.

        Returns:
            float32[n], or a scalar for two vectors.

        Raises:
            InputError: The shapes differ, the vectors are quantized to bits, or similarity_fn_name is unknown.
        """
        self._check_not_bits(embeddings1, embeddings2)
        return similarity_functions(self.similarity_fn_name).pairwise(embeddings1, embeddings2)

    def _check_not_bits(self, *embeddings: ArrayLike) -> None:
        """Raise InputError for "binary" vectors, whose dtype, int8, is also that of rounded vectors."""
        size = self.get_embedding_dimension()
        for vectors in embeddings:
            if getattr(vectors, "dtype", None) == np.int8 and np.shape(vectors)[-1] == -(-size // 8) < size:
                raise InputError(f"the vectors are packed bits (precision 'binary'). {HOW_TO_COMPARE_BITS}.")

    def _sentence_vectors(
        self, texts: list[str], prompt: str, batch_size: int | None, show: bool | None
    ) -> NDArray[np.float32]:
        chunks = self._chunks(texts, prompt)
        return self._engine.sentence_vectors(chunks, len(texts), self.max_seq_length, batch_size, show)

    def _token_results(
        self, texts: list[str], prompt: str, options: OutputOptions, batch_size: int | None, show: bool | None
    ) -> Any:
        tokens = self._tokenized(texts, prompt)
        token_vectors = self._engine.token_vectors(tokens, self.max_seq_length, batch_size, show)
        if options.value == "token_embeddings":
            return options.tokens(token_vectors)
        vectors = self._engine.sentence_vectors([tokens], len(texts), self.max_seq_length, batch_size, show)
        return options.everything(tokens, token_vectors, vectors)
