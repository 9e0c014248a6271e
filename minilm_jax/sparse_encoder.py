"""`SparseEncoder`: one weight per token of the vocabulary for each text, with the methods of sentence-transformers."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.checkpoints.cache import DEFAULT_SPARSE_ENCODER
from minilm_jax.checkpoints.folder_config import Settings
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.config import EncoderConfig, Precision, SparseHead
from minilm_jax.errors import InputError
from minilm_jax.nn.params import Params
from minilm_jax.runtime.devices import Devices
from minilm_jax.sentence_transformers_api import sentence_transformers_keywords
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.texts import as_texts
from minilm_jax.tokens.tokenizer import TextTokenizer
from minilm_jax.vectors.sparse import (
    SparseMatrix,
    as_csr,
    check_similarity,
    sparse_similarity,
    sparse_similarity_pairwise,
    to_csr,
)


class SparseEncoder(TextModel):
    """Encoder that maps each text to a sparse vector: a weight for each token of the vocabulary that it is about.

    A search over sparse vectors finds exact words as well as related ones. A text's vector does not depend on the other
    texts.

    Attributes:
        config: The config of the encoder, with its sparse head.
        tokenizer: The tokenizer.
        prompts: Prompts by their names; a prompt is put before every text of a call.
        default_prompt_name: Name of the prompt that is used by default, or None.
        similarity_fn_name: The similarity function: "dot", "cosine" or "euclidean".
    """

    _default_source = DEFAULT_SPARSE_ENCODER
    _needs_pooling = False

    @sentence_transformers_keywords
    def __init__(
        self,
        source: str | Path | Params = _default_source,
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
        max_active_dims: int | None = None,
    ) -> None:
        """Load a model, or combine params with their config and tokenizer.

        A folder without settings for a sparse head gets the usual one, the maximum of log(1 + relu(logit)).

        Args:
            source: A model's name, its folder, or a parameter tree. The default is splade-tiny, a small model with real
                weights on the package index.
            config: The config of a parameter tree; by default the one that it carries.
            tokenizer: The tokenizer of a parameter tree.
            max_seq_length: Maximum tokens per text, at most the size of the position table.
            precision: The precision that a loaded model computes in, see `minilm_jax.cast`.
            cache_dir: The folder for downloaded files, see `minilm_jax.checkpoints.cache`.
            revision: A branch, tag or commit of a model on the Hugging Face hub.
            token: An access token for the hub, or True for the one stored by `hf auth login`.
            local_files_only: Whether to use only files of the hub that are already in its cache.
            device: The kind of device that jax computes on, or None.
            mesh: Devices that split the rows of every batch.
            devices: The same without a mesh: "all" devices of this process, or a list.
            store_programs: Whether to keep compiled programs on disk for the next process, see `SentenceEncoder`.
            prompts: Prompts by their names, in addition to those of the folder.
            default_prompt_name: Overrides the value of the folder, like the following two.
            similarity_fn_name: By default that of the folder, or "dot".
            max_active_dims: By default that of the folder, or None.

        Raises:
            InputError: The model has another head, or a setting is unknown; or as for `SentenceEncoder`.
            ModelFileError: A file is missing or damaged, or the model has no masked-language-model head.
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
        self.similarity_fn_name = similarity_fn_name or self._settings.similarity_fn_name or "dot"
        check_similarity(self.similarity_fn_name)
        self.max_active_dims = self._settings.max_active_dims if max_active_dims is None else max_active_dims

    @staticmethod
    def _checked(config: EncoderConfig) -> EncoderConfig:
        """Return the config with a sparse head."""
        if config.classifier is not None:
            raise InputError("this model scores pairs; load it with minilm_jax.CrossEncoder.")
        return config if config.sparse_head is not None else dataclasses.replace(config, sparse_head=SparseHead())

    def __repr__(self) -> str:
        group = self._engine.devices
        return (
            f"SparseEncoder({self._name!r}, precision={self.stats.computed_in!r},"
            f" devices='{group.count} × {group.platform}', dimensions={self.config.vocab_size},"
            f" layers={self.config.num_hidden_layers}, max_seq_length={self.max_seq_length})"
        )

    @property
    def max_active_dims(self) -> int | None:
        """Number of largest weights to keep per vector, or None for all."""
        return self._max_active_dims

    @max_active_dims.setter
    def max_active_dims(self, count: int | None) -> None:
        self._max_active_dims = None if count is None else integer("max_active_dims", count)

    def get_embedding_dimension(self) -> int:
        """Return the number of dimensions of the vectors: the size of the vocabulary."""
        return self.config.vocab_size

    get_sentence_embedding_dimension = get_embedding_dimension

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model to a folder that sentence-transformers, transformers and this class load.

        Args:
            path: The folder; an earlier model in it is replaced, and other files stay.

        Raises:
            InputError: As for `SentenceEncoder.save_pretrained`.
            OSError: The folder cannot be written.
        """
        settings = Settings(
            self.prompts,
            self.default_prompt_name,
            self.similarity_fn_name,
            max_active_dims=self.max_active_dims,
        )
        write_model_folder(Path(path), self.params, self.config, self.tokenizer, self.max_seq_length, settings)

    @sentence_transformers_keywords
    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        device: str | None = None,
        max_active_dims: int | None = None,
    ) -> SparseMatrix:
        """Map texts to sparse vectors.

        Args:
            inputs: One text or several.
            prompt_name: The name of the prompt in `prompts` to put before every text; by default
                `default_prompt_name`.
            prompt: The prompt itself; it overrides prompt_name.
            batch_size: Maximum texts per batch; by default as many as the token budget allows.
            show_progress_bar: True or False, or None for a bar on terminals if the work is long.
            device: The kind of device that jax computes on, or None.
            max_active_dims: Number of largest weights to keep per vector; by default `self.max_active_dims`.

        Returns:
            A scipy.sparse matrix in CSR format, float32[n, V] for a vocabulary of V tokens, in the order of the texts;
            one row for one text.

        Raises:
            InputError: A text is not a string or not valid Unicode, or a keyword has an invalid value.
        """
        is_single = isinstance(inputs, str)
        texts = as_texts([inputs] if is_single else inputs, "inputs")
        if batch_size is not None:
            batch_size = integer("batch_size", batch_size)
        active = self.max_active_dims if max_active_dims is None else integer("max_active_dims", max_active_dims)
        prefix, show = self._prompt(prompt, prompt_name), False if is_single else show_progress_bar
        truncated = self._begin(device)
        found = self._engine.results(self._chunks(texts, prefix), len(texts), self.max_seq_length, batch_size, show)
        vectors = to_csr(found, (len(texts), self.config.vocab_size), active)
        self._end(truncated, len(texts))
        return vectors

    @sentence_transformers_keywords
    def encode_query(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        device: str | None = None,
        max_active_dims: int | None = None,
    ) -> SparseMatrix:
        """Map queries to sparse vectors: `encode` with the prompt named "query", unless another is given."""
        if prompt is None and prompt_name is None:
            prompt_name = self.query_prompt_name
        return self.encode(inputs, prompt_name, prompt, batch_size, show_progress_bar, device, max_active_dims)

    @sentence_transformers_keywords
    def encode_document(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        device: str | None = None,
        max_active_dims: int | None = None,
    ) -> SparseMatrix:
        """Map documents to sparse vectors: `encode` with the prompt "document", "passage" or "corpus"."""
        if prompt is None and prompt_name is None:
            prompt_name = self.document_prompt_name
        return self.encode(inputs, prompt_name, prompt, batch_size, show_progress_bar, device, max_active_dims)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """Compare every vector with every other by `similarity_fn_name`.

        Args:
            embeddings1: Sparse or dense [n, V].
            embeddings2: Sparse or dense [m, V].

        Returns:
            float32[n, m].

        Raises:
            InputError: The vectors differ in their dimensions, or similarity_fn_name is unknown.
        """
        return sparse_similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """Compare each vector with the vector at the same index by `similarity_fn_name`.

        Args:
            embeddings1: Sparse or dense [n, V].
            embeddings2: A matrix of the same shape.

        Returns:
            float32[n].

        Raises:
            InputError: The shapes differ, or similarity_fn_name is unknown.
        """
        return sparse_similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)

    def decode(self, embeddings: Any, top_k: int | None = None) -> list[list[tuple[str, float]]]:
        """Return the tokens of vectors with their weights, the largest first.

        Args:
            embeddings: Sparse or dense [n, V].
            top_k: Maximum tokens per vector, or None for all.

        Returns:
            For each vector a list of pairs (token, weight).

        Raises:
            InputError: The vectors have another number of dimensions than the vocabulary.
        """
        matrix = as_csr(embeddings)
        if matrix.shape[1] != self.config.vocab_size:
            raise InputError(f"the vectors have {matrix.shape[1]} dimensions, the vocabulary {self.config.vocab_size}.")
        if top_k is not None:
            top_k = integer("top_k", top_k)
        return [self._decoded(matrix, row, top_k) for row in range(matrix.shape[0])]

    def _decoded(self, matrix: SparseMatrix, row: int, top_k: int | None) -> list[tuple[str, float]]:
        own = slice(*matrix.indptr[row : row + 2].tolist())
        ids, weights = matrix.indices[own], matrix.data[own]
        best = np.argsort(-weights, kind="stable")[:top_k]
        return list(zip(self.tokenizer.tokens_of(ids[best].tolist()), weights[best].tolist(), strict=True))
