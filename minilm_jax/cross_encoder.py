"""`CrossEncoder`: scores pairs of texts, with the methods and keywords of sentence-transformers."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypeAlias, TypedDict

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.checkpoints.cache import DEFAULT_CROSS_ENCODER
from minilm_jax.checkpoints.folder_config import Settings
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.config import Classifier, EncoderConfig, Precision, ScoreActivation
from minilm_jax.errors import InputError
from minilm_jax.nn.params import Params
from minilm_jax.nn.settings import device_use
from minilm_jax.runtime.devices import Devices
from minilm_jax.score_activations import as_activation
from minilm_jax.sentence_transformers_api import sentence_transformers_keywords
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.batching import one_batch
from minilm_jax.tokens.texts import as_pairs, as_texts, check_text
from minilm_jax.tokens.tokenizer import TextTokenizer, Tokenized

Pair: TypeAlias = Sequence[str]
Activation: TypeAlias = ScoreActivation | Callable[[Any], ArrayLike]


class Ranked(TypedDict):
    """A document in the result of `CrossEncoder.rank`.

    Attributes:
        corpus_id: Its index in the list of documents.
        score: Its score.
        text: The document, if return_documents is true.
    """

    corpus_id: int
    score: float
    text: NotRequired[str]


class CrossEncoder(TextModel):
    """Model that reads two texts at once, and returns a score or one logit per label.

    It is more accurate than comparing the vectors of two texts, but has to compute every pair; so it is used to rank
    the first results of a search again. The scores of a pair do not depend on the other pairs.

    Attributes:
        config: The config of the encoder, with its classifier.
        tokenizer: The tokenizer.
        prompts: Prompts by their names; a prompt is put before the first text of every pair of a call.
        default_prompt_name: Name of the prompt that is used by default, or None.
        activation_fn: What is applied to the logits, float32[n, L] for L labels: a name, or a function.
    """

    _default_source = DEFAULT_CROSS_ENCODER
    _inputs = "pairs"

    @sentence_transformers_keywords
    def __init__(
        self,
        source: str | Path | Params = _default_source,
        config: EncoderConfig | None = None,
        tokenizer: TextTokenizer | None = None,
        max_seq_length: int | None = None,
        *,
        activation_fn: Activation | None = None,
        num_labels: int | None = None,
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
    ) -> None:
        """Load a model, or combine params with their config and tokenizer.

        Args:
            source: A model's name, its folder, or a parameter tree.
            config: The config of a parameter tree; by default the one that it carries.
            tokenizer: The tokenizer of a parameter tree.
            max_seq_length: Maximum tokens per pair, at most the size of the position table; by default the model
                folder's value. Tokens are removed from the longer text of a pair until it fits.
            activation_fn: "identity", "sigmoid", "tanh" or "softmax", or a function of float32[n, L]; by default that
                of the model. Without one, it is "sigmoid" for one label, and "identity" for several.
            num_labels: The number of labels, if it should be checked; it cannot be changed.
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
            default_prompt_name: Overrides the value of the folder.

        Raises:
            InputError: The model has no classifier, or another number of labels; or as for `SentenceEncoder`.
            ModelFileError: A file is missing, damaged, or belongs to another kind of model.
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
        if num_labels not in (None, self.num_labels):
            raise InputError(f"num_labels is {num_labels}, but the model has {self.num_labels}; leave it out.")
        self.activation_fn: Activation = activation_fn or self._classifier.score_activation
        as_activation(self.activation_fn)

    @staticmethod
    def _checked(config: EncoderConfig) -> EncoderConfig:
        """Return the config if it has a classifier."""
        if config.classifier is None:
            raise InputError(
                "this model has no classifier, which scores pairs; load it with minilm_jax.SentenceEncoder, or pass a"
                " model whose config.json names a class that ends in ForSequenceClassification."
            )
        return config

    def __repr__(self) -> str:
        group = self._engine.devices
        return (
            f"CrossEncoder({self._name!r}, precision={self.stats.computed_in!r},"
            f" devices='{group.count} × {group.platform}', labels={self.num_labels},"
            f" layers={self.config.num_hidden_layers}, max_seq_length={self.max_seq_length})"
        )

    @property
    def _classifier(self) -> Classifier:
        assert self.config.classifier is not None
        return self.config.classifier

    @property
    def num_labels(self) -> int:
        """Number of labels, L."""
        return len(self._classifier.labels)

    @property
    def id2label(self) -> dict[int, str]:
        """The labels by their indices."""
        return dict(enumerate(self._classifier.labels))

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model to a folder that sentence-transformers, transformers and this class load.

        An `activation_fn` that is a function is not saved.

        Args:
            path: The folder; an earlier model in it is replaced, and other files stay.

        Raises:
            InputError: As for `SentenceEncoder.save_pretrained`, or transformers has no class for the classifier.
            OSError: The folder cannot be written.
        """
        config, name = self.config, self.activation_fn
        if not callable(name):
            config = _with_scores(config, name)
        settings = Settings(self.prompts, self.default_prompt_name)
        write_model_folder(Path(path), self.params, config, self.tokenizer, self.max_seq_length, settings)

    def tokenize(self, pairs: Iterable[Pair]) -> dict[str, NDArray[np.int32]]:
        """Tokenize pairs as `predict` does, truncated at max_seq_length and padded to the longest.

        Args:
            pairs: Pairs of texts.

        Returns:
            input_ids, attention_mask and token_type_ids, int32[n, T] each, which `classify` takes as they are.

        Raises:
            InputError: There is no pair, or one that is not two valid strings.
        """
        checked = as_pairs(pairs)
        if not checked:
            raise InputError("pairs is empty; tokenize needs at least one pair.")
        tokens = self._tokenize(checked, "").tokens
        return one_batch(tokens, int(tokens.lengths.max()), self.tokenizer.pad_id)._asdict()

    @sentence_transformers_keywords
    def predict(
        self,
        inputs: Pair | Iterable[Pair],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
    ) -> Any:
        """Compute the scores of pairs.

        Args:
            inputs: One pair of texts, or several.
            prompt_name: The name of the prompt in `prompts` to put before the first text of every pair; by default
                `default_prompt_name`.
            prompt: The prompt itself; it overrides prompt_name.
            batch_size: Maximum pairs per batch; by default as many as the token budget allows.
            show_progress_bar: True or False, or None for a bar on terminals if the work is long.
            activation_fn: As in the constructor, for this call.
            apply_softmax: Whether to apply softmax over the labels, after activation_fn, if there are several.
            convert_to_numpy: False for a list of jax arrays, one per pair.
            convert_to_tensor: True for one jax array; it overrides convert_to_numpy.
            device: The kind of device that jax computes on, or None.

        Returns:
            float32[n] for one label, float32[n, L] for L labels, in the order of the pairs; a float32 scalar or
            float32[L] for one pair.

        Raises:
            InputError: An item is not a pair of valid strings, or a keyword has an invalid value.
        """
        is_single = _is_pair(inputs)
        pairs = as_pairs([inputs] if is_single else inputs)  # pyright: ignore[reportArgumentType]
        if batch_size is not None:
            batch_size = integer("batch_size", batch_size)
        prefix, show = self._prompt(prompt, prompt_name), False if is_single else show_progress_bar
        activation = as_activation(activation_fn or self.activation_fn)
        truncated = self._begin(device)
        chunks = self._chunks(pairs, prefix)
        logits = self._engine.sentence_vectors(chunks, len(pairs), self.max_seq_length, batch_size, show)
        scores = self._scores(logits, activation, softmax=bool(apply_softmax))
        self._end(truncated, len(pairs))
        if convert_to_tensor or not convert_to_numpy:
            array = _on_device(scores)
            scores = array if convert_to_tensor else list(array)
        return scores[0] if is_single else scores

    @sentence_transformers_keywords
    def rank(
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: str | None = None,
    ) -> list[Ranked]:
        """Sort documents by their scores for a query, the best first.

        Args:
            query: The query.
            documents: The documents.
            top_k: Maximum number of results; by default all.
            return_documents: Whether the results contain the documents.
            prompt_name: As in `predict`, like the other arguments.
            prompt: The prompt itself.
            batch_size: Maximum pairs per batch.
            show_progress_bar: Whether to show a bar.
            activation_fn: What is applied to the logits.
            device: The kind of device that jax computes on, or None.

        Returns:
            For each document, `corpus_id`, its index; `score`; and `text` if return_documents is true.

        Raises:
            InputError: The model has several labels, a text is not a valid string, or a keyword has an invalid value.

        Examples:
            >>> import minilm_jax as mj
            >>> reranker = mj.CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2")  # doctest: +SKIP
            >>> reranker.rank("Who wrote it?", ["Paris is large.", "Harper Lee wrote it."])  # doctest: +SKIP
        """
        if self.num_labels != 1:
            raise InputError(f"the model has {self.num_labels} labels, and rank needs a model with one; use predict.")
        if top_k is not None:
            top_k = integer("top_k", top_k)
        try:
            query = check_text(query)
        except InputError as error:
            raise InputError(f"query: {error}") from None
        texts = as_texts(documents, "documents")
        scores = self.predict(
            [(query, text) for text in texts],
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            activation_fn,
            device=device,
        )
        # Equal scores stay in the order of the documents.
        best = np.argsort(-scores, kind="stable")[:top_k].tolist()
        found: list[Ranked] = [{"corpus_id": index, "score": float(scores[index])} for index in best]
        if return_documents:
            for result in found:
                result["text"] = texts[result["corpus_id"]]
        return found

    @staticmethod
    def _items(inputs: Iterable[Any]) -> Sequence[Any]:
        return as_pairs(inputs)

    def _tokenize(self, items: Sequence[Any], prompt: str) -> Tokenized:
        pairs = [(prompt + first, second) for first, second in items] if prompt else items
        return self.tokenizer.pairs(pairs, self.max_seq_length)

    @device_use()
    def _scores(
        self, logits: NDArray[np.float32], activation: Callable[[Any], ArrayLike], *, softmax: bool
    ) -> NDArray[np.float32]:
        scores = np.asarray(activation(logits), np.float32)
        if scores.shape != logits.shape:
            raise InputError(f"activation_fn returned the shape {scores.shape} for logits of {logits.shape}.")
        if self.num_labels == 1:
            return scores[:, 0]
        return np.asarray(as_activation("softmax")(scores)) if softmax else scores


def _is_pair(inputs: Any) -> bool:
    """Return whether the inputs are one pair, as sentence-transformers decides."""
    if isinstance(inputs, np.ndarray):
        return inputs.ndim == 1 and inputs.size > 0
    return isinstance(inputs, list | tuple) and len(inputs) > 0 and not isinstance(inputs[0], list | tuple | np.ndarray)


def _with_scores(config: EncoderConfig, scores: ScoreActivation) -> EncoderConfig:
    assert config.classifier is not None
    return dataclasses.replace(config, classifier=dataclasses.replace(config.classifier, scores=scores))


@device_use()
def _on_device(scores: NDArray[np.float32]) -> Any:
    return jnp.asarray(scores)
