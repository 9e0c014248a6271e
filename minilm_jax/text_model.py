"""`TextModel`: what encoders and cross-encoders have in common: loading, devices, prompts, counts and copies."""

import abc
import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.config import EncoderConfig, Precision
from minilm_jax.errors import InputError
from minilm_jax.forks import check_not_forked
from minilm_jax.nn.encoder_params import EncoderParams, config_of
from minilm_jax.nn.params import Params
from minilm_jax.nn.settings import device_use
from minilm_jax.pretrained import PretrainedModel
from minilm_jax.prompts import chosen_prompt, document_prompt, query_prompt
from minilm_jax.runtime.devices import Device, Devices, choose_devices
from minilm_jax.runtime.engine import Engine, Stats
from minilm_jax.runtime.program_store import open_store
from minilm_jax.runtime.workers import prefetch
from minilm_jax.sentence_transformers_api import check_device
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.texts import as_texts
from minilm_jax.tokens.tokenizer import MIN_SEQ_LENGTH, TextTokenizer, Tokenized
from minilm_jax.user_warnings import warn_user


class TextModel(abc.ABC):
    """A model with its tokenizer, settings and compiled programs.

    Attributes:
        config: The config of the encoder.
        tokenizer: The tokenizer.
        prompts: Prompts by their names; a prompt is put before every text of a call.
        default_prompt_name: Name of the prompt that is used by default, or None.
    """

    _default_source: ClassVar[str]
    _inputs: ClassVar[str] = "texts"
    _needs_pooling: ClassVar[bool] = True

    def _set_up(
        self,
        source: str | Path | Params,
        config: EncoderConfig | None,
        tokenizer: TextTokenizer | None,
        max_seq_length: int | None,
        *,
        precision: Precision,
        cache_dir: str | Path | None,
        hub: HubOptions,
        device: str | None,
        mesh: Mesh | None,
        devices: Devices | None,
        store_programs: bool,
        prompts: Mapping[str, str] | None,
        default_prompt_name: str | None,
    ) -> None:
        """Load a model, or combine params with their config and tokenizer; the subclasses describe the arguments."""
        if device is not None:
            check_device(device)
        group = choose_devices(mesh, devices)
        if isinstance(source, str | Path):
            store = open_store(cache_dir) if store_programs else None
            model = PretrainedModel.load(
                source, precision, cache_dir, hub, store, check=self._checked, needs_pooling=self._needs_pooling
            )
        elif tokenizer is None:
            raise InputError(
                "a parameter tree needs its tokenizer too; pass tokenizer=mj.TextTokenizer('path/to/tokenizer.json')."
            )
        else:
            config = self._checked(config_of(source, config))
            model = PretrainedModel(params=source, config=config, tokenizer=tokenizer)
        self._name, self._params, self.config, self.tokenizer = model.name, model.params, model.config, model.tokenizer
        longest = min(model.max_seq_length, self.config.max_length)
        self.max_seq_length = longest if max_seq_length is None else max_seq_length
        self._settings = model.settings
        self.prompts = {"query": "", "document": "", **model.settings.prompts, **(prompts or {})}
        self.default_prompt_name = default_prompt_name or model.settings.default_prompt_name
        for prompt in self.prompts.values():
            self._prompt(prompt, None)
        self._prompt(None, self.default_prompt_name)
        self._devices, self._cache_dir, self._store_programs = group, cache_dir, store_programs
        _ = self._engine  # Devices and params that do not work raise an error now.

    @staticmethod
    @abc.abstractmethod
    def _checked(config: EncoderConfig) -> EncoderConfig:
        """Return the config for this class; raises InputError if the model is of another kind."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        precision: Precision = "float32",
        max_seq_length: int | None = None,
        cache_dir: str | Path | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        mesh: Mesh | None = None,
        devices: Devices | None = None,
        store_programs: bool = True,
    ) -> Self:
        """Load a model with its tokenizer; the arguments are those of the constructor.

        Args:
            source: A model's name on the Hugging Face hub, or a folder: one written by `python -m convert`, or one from
                the hub; by default the best-known model of this kind.
            precision: "float32", "bfloat16", "float16" or "int8", see `minilm_jax.cast`.
            max_seq_length: Maximum tokens per text; by default the model folder's value, or 256.
            cache_dir: The folder for downloaded files.
            revision: A branch, tag or commit of a model on the Hugging Face hub.
            token: An access token for the hub, or True for the one stored by `hf auth login`.
            local_files_only: Whether to use only files of the hub that are already in its cache.
            mesh: Devices that split the rows of every batch.
            devices: "all", or a list of devices, instead of a mesh.
            store_programs: Whether to keep compiled programs on disk for the next process.

        Returns:
            The model.

        Raises:
            InputError: The precision or a device is unknown, or max_seq_length exceeds the position table.
            ModelFileError: A file is missing, damaged, or belongs to another kind of model.
        """
        create: Any = cls  # Each subclass takes these arguments.
        return create(
            cls._default_source if source is None else source,
            precision=precision,
            max_seq_length=max_seq_length,
            cache_dir=cache_dir,
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            mesh=mesh,
            devices=devices,
            store_programs=store_programs,
        )

    @abc.abstractmethod
    def save_pretrained(self, path: str | Path) -> None:
        """Write the model to a folder that sentence-transformers, transformers and this class load."""

    @functools.cached_property
    @device_use()
    def _engine(self) -> Engine:
        """The engine; one from a pickle creates it when it is first used."""
        store = open_store(self._cache_dir) if self._store_programs else None
        params = jax.tree.map(jnp.asarray, self._params)
        self._params = None  # The engine may hold them in another form.
        return Engine(params, self.config, self._devices, store)

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a pickle: numpy arrays, which load without JAX, and no compiled programs."""
        kept = {name: value for name, value in vars(self).items() if name != "_engine"}
        return {**kept, "_params": jax.tree.map(np.asarray, self.params if self._params is None else self._params)}

    def __copy__(self) -> Self:
        """Return a model that shares everything but its settings and counts."""
        return self._copy(lambda value: value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that shares the params, the tokenizer and the compiled programs, which never change."""
        return self._copy(lambda value: copy.deepcopy(value, memo))

    def with_params(self, params: Params) -> Self:
        """Return this model with other params of the same shapes, such as trained ones.

        Args:
            params: Nested dict of float32 arrays.

        Returns:
            A model with its own programs and counts.
        """
        config_of(params, self.config)
        other = object.__new__(type(self))
        kept = {name: value for name, value in vars(self).items() if name != "_engine"}
        vars(other).update({**kept, "_params": params})
        return other

    def _copy(self, copied: Callable[[Any], Any]) -> Self:
        engine = copy.copy(self._engine)
        shared = {"_engine", "tokenizer"}
        other = object.__new__(type(self))
        values = {name: value if name in shared else copied(value) for name, value in vars(self).items()}
        vars(other).update(values, _engine=engine)
        return other

    @property
    def params(self) -> EncoderParams:
        """The parameter tree, which carries the config."""
        return EncoderParams(self._engine.params, self.config)

    @property
    def name(self) -> str:
        """The name or folder that the model was loaded from, or "params"."""
        return self._name

    @property
    def mesh(self) -> Mesh | None:
        """The devices that compute, on one axis; None for jax's default device."""
        return self._engine.devices.mesh

    @property
    def stats(self) -> Stats:
        """Counts of the work so far."""
        return self._engine.stats

    @property
    def max_seq_length(self) -> int:
        """Maximum tokens per text; longer texts are truncated and counted, with a warning."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        length = integer("max_seq_length", length, MIN_SEQ_LENGTH)
        if length > self.config.max_length:
            raise InputError(f"max_seq_length is {length}; the model has {self.config.max_length} positions.")
        self._max_seq_length = length

    @property
    def device(self) -> Device:
        """The device that computes; with several, the first."""
        return self._engine.device

    @property
    def chunk(self) -> int:
        """Recommended number of texts per `encode` call; it depends on the kind of device."""
        return self._engine.devices.chunk

    @property
    def batch_tokens(self) -> int:
        """Tokens of a full batch."""
        devices = self._engine.devices
        return devices.shapes.call_tokens[0] * devices.count

    @property
    def workers(self) -> int:
        """Number of batches that the devices compute at the same time."""
        return self._engine.devices.workers

    @property
    def query_prompt_name(self) -> str | None:
        """Name of the prompt that `encode_query` uses by default, or None."""
        return query_prompt(self.prompts)

    @property
    def document_prompt_name(self) -> str | None:
        """Name of the prompt that `encode_document` uses by default, or None."""
        return document_prompt(self.prompts)

    def token_ids(
        self,
        texts: Iterable[Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *,
        truncate: bool = True,
    ) -> RaggedIds:
        """Tokenize texts as `encode` does, or pairs as `predict` does, without padding.

        Args:
            texts: The texts or pairs.
            prompt_name: The name of the prompt to put before every text.
            prompt: The prompt itself.
            truncate: Whether longer texts are truncated.

        Returns:
            Their token ids, truncated at max_seq_length.

        Raises:
            InputError: A text is not a string or not valid Unicode, no prompt has this name, or truncate is false and a
                text has more than max_seq_length tokens.
        """
        truncated, checked = self.stats.truncated, self._items(texts)
        tokenized = self._tokenize(checked, self._prompt(prompt, prompt_name))
        if tokenized.truncated and not truncate:
            raise InputError(
                f"{tokenized.truncated} of {len(checked)} {self._inputs} have more than {self.max_seq_length} tokens;"
                " shorten them, or allow truncation."
            )
        tokens = self._counted(tokenized)
        self._end(truncated, len(checked))
        return tokens

    def compute(self, tokens: RaggedIds) -> NDArray[np.float32]:
        """Compute the results of texts that are tokenized already, on the thread that calls.

        Args:
            tokens: The token ids of n texts, see `token_ids`.

        Returns:
            float32[n, E], in the order of the texts: sentence vectors, logits, or sparse vectors with all zeros.
        """
        check_not_forked()
        return self._engine.sentence_vectors([tokens], len(tokens.lengths), self.max_seq_length, workers=1)

    def warm_up_for_requests(self) -> None:
        """Make the few programs that serve requests of any size; later calls compile nothing.

        `warm_up` makes the programs that suit known lengths and list sizes best. This method is for a service, which
        computes the texts that are waiting, few or many.
        """
        self._engine.warm_up_for_requests(self.max_seq_length)

    def warm_up(self, lengths: Iterable[int] | None = None, batch_sizes: Iterable[int] = (1, 64)) -> None:
        """Make the programs that a service needs, before its first request; later calls compile nothing.

        Programs that are stored on disk are loaded. Later calls use the programs that suit them best among these, so
        pass the lengths and list sizes that you expect. Only a larger `max_seq_length` needs another program.

        Args:
            lengths: Tokens per text; by default those of queries, on CPU 18 to 64. Texts of max_seq_length tokens are
                always included.
            batch_sizes: Texts per call.

        Raises:
            InputError: A length or a size is not a positive integer, or a length exceeds max_seq_length.
        """
        if lengths is None:
            lengths = [min(each, self.max_seq_length) for each in self._engine.devices.shapes.query_lengths]
        lengths = [integer("lengths", length) for length in lengths]
        if max(lengths, default=0) > self.max_seq_length:
            raise InputError(f"lengths has {max(lengths)}, but max_seq_length is {self.max_seq_length} tokens.")
        sizes = [integer("batch_sizes", size) for size in batch_sizes]
        self._engine.warm_up(lengths, sizes, self.max_seq_length)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        return chosen_prompt(self.prompts, prompt, prompt_name or self.default_prompt_name)

    def _chunks(self, items: Sequence[Any], prompt: str) -> Iterable[RaggedIds]:
        """Tokenize texts or pairs: all at once on CPU, in chunks ahead of the computation on accelerators."""
        if self._engine.devices.on_cpu or len(items) <= self.chunk:
            return [self._tokenized(items, prompt)]
        starts = range(0, len(items), self.chunk)
        return prefetch(self._tokenized(items[start : start + self.chunk], prompt) for start in starts)

    def _tokenized(self, items: Sequence[Any], prompt: str) -> RaggedIds:
        return self._counted(self._tokenize(items, prompt))

    def _counted(self, tokenized: Tokenized) -> RaggedIds:
        stats = self._engine.stats
        stats.texts += len(tokenized.tokens.lengths)
        stats.truncated += tokenized.truncated
        stats.tokens += len(tokenized.tokens.ids)
        stats.longest = max(stats.longest, tokenized.longest)
        return tokenized.tokens

    @staticmethod
    def _items(inputs: Iterable[Any]) -> Sequence[Any]:
        """Return texts or pairs as a list; raises InputError if one is invalid."""
        return as_texts(inputs)

    def _tokenize(self, items: Sequence[Any], prompt: str) -> Tokenized:
        """Tokenize texts, each after the prompt."""
        return self.tokenizer([prompt + text for text in items] if prompt else items, self.max_seq_length)

    def _begin(self, device: str | None) -> int:
        """Check what every call depends on; return the number of truncated texts so far, for `_end`."""
        if device is not None:
            check_device(device)
        check_not_forked()
        return self.stats.truncated

    def _end(self, truncated: int, count: int) -> None:
        """Warn of the first truncation."""
        if truncated or not self.stats.truncated:
            return
        warn_user(
            f"{self.stats.truncated} of {count} {self._inputs} are longer than {self.max_seq_length} tokens"
            f" (the longest has {self.stats.longest}) and were truncated. Raise max_seq_length (at most"
            f" {self.config.max_length}) or split the texts; stats.truncated counts them from now on."
        )
