"""`PretrainedModel`: params, config, tokenizer and settings that belong together, from a folder and back into one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import Settings, read_config, read_max_seq_length, read_settings
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.checkpoints.weights import load_params
from minilm_jax.config import EncoderConfig, Precision
from minilm_jax.errors import InputError, ModelFileError
from minilm_jax.nn.casting import cast
from minilm_jax.nn.params import Params
from minilm_jax.runtime.devices import Devices, choose_devices
from minilm_jax.runtime.engine import Engine, Stats
from minilm_jax.sentence_transformers_api import check_device, sentence_transformers_keywords
from minilm_jax.tokens.tokenizer import DEFAULT_MAX_SEQ_LENGTH, TextTokenizer, one_batch


class PretrainedModel:
    """What texts are embedded with.

    Attributes:
        config: Sizes and pooling of the encoder.
        tokenizer: Texts to token ids.
        prompts: By their names, what can be put before every text.
        default_prompt_name: The prompt of calls that name none, or None.
        similarity_fn_name: How vectors are compared: "cosine", "dot", "euclidean" or "manhattan".
        truncate_dim: How many dimensions of a vector are kept, or None for all.
    """

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
        device: str | None = None,
        mesh: Mesh | None = None,
        devices: Devices | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        """Loads a model, or puts one together from params with their config and tokenizer.

        Args:
            source: A model's name, its folder, or a parameter tree.
            config: Sizes and pooling of the encoder that a parameter tree belongs to.
            tokenizer: The tokenizer that a parameter tree belongs to.
            max_seq_length: Most tokens a text, up to the position table; by default what the folder says, else 256.
            precision: What a model that is loaded computes in, see `minilm_jax.cast`.
            cache_dir: Where downloaded files are kept, see `minilm_jax.checkpoints.cache`.
            device: The kind of device that jax computes on, or None.
            mesh: Devices that share the rows of every batch, whatever its axes; each has all of the params. Without
                them one device computes.
            devices: The same without a mesh: "all" of this process's, or a list.
            prompts: Prompts by their names, added to those of the folder.
            default_prompt_name: Like the following two, in place of what the folder says.
            similarity_fn_name: "cosine" where the folder does not say.
            truncate_dim: All dimensions where the folder does not say.

        Raises:
            InputError: max_seq_length exceeds the position table, the precision or a device is unknown, or a part is
                missing.
            ModelFileError: A file is missing, damaged, or of another kind of model, or the tokenizer has more tokens
                than the model.
        """
        check_device(device)
        placement = choose_devices(mesh, devices)
        if isinstance(source, str | Path):
            parts = _load(source, precision, cache_dir)
        elif config is None or tokenizer is None:
            raise InputError("a parameter tree needs a config and a tokenizer beside it.")
        else:
            parts = _Parts(source, config, tokenizer)
        _check_pair(parts.tokenizer, parts.config)
        self.config, self.tokenizer = parts.config, parts.tokenizer
        self._params, settings = parts.params, parts.settings
        self.max_seq_length = max_seq_length or parts.max_seq_length
        self.prompts = {"query": "", "document": "", **settings.prompts, **(prompts or {})}
        self.default_prompt_name = default_prompt_name or settings.default_prompt_name
        self.similarity_fn_name = similarity_fn_name or settings.similarity_fn_name
        self.truncate_dim = truncate_dim or settings.truncate_dim
        self._engine = Engine(self.params, self.config, placement)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = DEFAULT_MODEL,
        *,
        precision: Precision = "float32",
        max_seq_length: int | None = None,
        cache_dir: str | Path | None = None,
        mesh: Mesh | None = None,
        devices: Devices | None = None,
    ) -> Self:
        """Loads a model with its tokenizer.

        Args:
            source: A model's name, or a folder: one that `python -m convert` wrote, or one from the hub.
            precision: What to compute in: "float32", "bfloat16", "float16" or "int8", see `minilm_jax.cast`.
            max_seq_length: Most tokens a text; by default what the model folder says, else 256.
            cache_dir: Where downloaded files are kept, see `minilm_jax.checkpoints.cache`.
            mesh: Devices that share the rows of every batch, such as `jax.make_mesh((8,), ("data",))`.
            devices: "all", or a list of them, where there is no mesh.

        Returns:
            The model.

        Raises:
            InputError: The precision or a device is unknown, or max_seq_length exceeds the position table.
            ModelFileError: A file is missing, damaged, or of another kind of model.
        """
        return cls(
            source,
            precision=precision,
            max_seq_length=max_seq_length,
            cache_dir=cache_dir,
            mesh=mesh,
            devices=devices,
        )

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the model to a folder, which sentence-transformers, transformers and this class load.

        Args:
            path: The folder, replaced in one step where it holds an earlier model.

        Raises:
            InputError: The model does not compute in float32, or the folder holds other files, which would be lost.
            OSError: The folder cannot be written.
        """
        settings = Settings(self.prompts, self.default_prompt_name, self.similarity_fn_name, self.truncate_dim)
        write_model_folder(Path(path), self.params, self.config, self.tokenizer, self.max_seq_length, settings)

    @property
    def params(self) -> Params:
        """The parameter tree."""
        return self._params

    @property
    def stats(self) -> Stats:
        """What was done so far."""
        return self._engine.stats

    @property
    def max_seq_length(self) -> int:
        """Most tokens a text; what is longer is cut, counted and warned of."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        if length > self.config.max_position_embeddings:
            raise InputError(
                f"max_seq_length is {length}; the model has {self.config.max_position_embeddings} positions."
            )
        self._max_seq_length = length

    def get_embedding_dimension(self) -> int:
        """Returns how many dimensions the vectors have."""
        return min(self.config.hidden_size, self.truncate_dim or self.config.hidden_size)

    get_sentence_embedding_dimension = get_embedding_dimension

    def tokenize(self, texts: str | Sequence[str]) -> dict[str, NDArray[np.int32]]:
        """Tokenizes texts as they are embedded, cut at max_seq_length and padded to the longest.

        Args:
            texts: One text or several.

        Returns:
            input_ids, attention_mask and token_type_ids, int32[n, T] each, of which `Batch(**features)` makes a batch.

        Raises:
            InputError: There is no text, or one that is no valid string.
        """
        texts = [texts] if isinstance(texts, str) else texts
        if len(texts) == 0:
            raise InputError("there is no text to tokenize; give at least one.")
        tokens = self.tokenizer(texts, self.max_seq_length).tokens
        return one_batch(tokens, int(tokens.lengths.max()))._asdict()


class _Parts(NamedTuple):
    params: Params
    config: EncoderConfig
    tokenizer: TextTokenizer
    max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH
    settings: Settings = Settings()


def _load(source: str | Path, precision: Precision, cache_dir: str | Path | None) -> _Parts:
    folder = model_folder(source, cache_dir=cache_dir)
    config = read_config(folder)
    return _Parts(
        cast(load_params(folder, config), precision, config),
        config,
        TextTokenizer(folder / TOKENIZER_FILE),
        min(read_max_seq_length(folder) or DEFAULT_MAX_SEQ_LENGTH, config.max_position_embeddings),
        read_settings(folder),
    )


def _check_pair(tokenizer: TextTokenizer, config: EncoderConfig) -> None:
    if tokenizer.vocab_size > config.vocab_size:
        raise ModelFileError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}; they are not a pair."
        )
