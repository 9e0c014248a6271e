"""`PretrainedModel`: params with the config, tokenizer and settings that belong to them."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minilm_jax.checkpoints.cache import model_folder
from minilm_jax.checkpoints.folder_config import (
    Settings,
    read_config,
    read_max_seq_length,
    read_settings,
)
from minilm_jax.checkpoints.hub import HubOptions
from minilm_jax.checkpoints.model_tokenizer import load_tokenizer
from minilm_jax.checkpoints.weights import find_weights
from minilm_jax.config import EncoderConfig, Precision
from minilm_jax.errors import ModelFileError
from minilm_jax.nn.params import Params
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.runtime.stored_cast import load_cast
from minilm_jax.tokens.tokenizer import DEFAULT_MAX_SEQ_LENGTH, TextTokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """The parts of a model.

    Attributes:
        params: The parameter tree, in any precision.
        config: The config of the encoder.
        tokenizer: The tokenizer.
        max_seq_length: Maximum tokens per text.
        settings: Prompts and other defaults of calls.
        name: Its name or folder.

    Raises:
        ModelFileError: The tokenizer has more tokens than the model.
    """

    params: Params
    config: EncoderConfig
    tokenizer: TextTokenizer
    max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH
    settings: Settings = dataclasses.field(default_factory=Settings)
    name: str = "params"

    def __post_init__(self) -> None:
        if self.tokenizer.vocab_size > self.config.vocab_size:
            raise ModelFileError(
                f"the tokenizer has {self.tokenizer.vocab_size} tokens, but the model has {self.config.vocab_size};"
                " they do not belong together."
            )

    @classmethod
    def load(
        cls,
        source: str | Path,
        precision: Precision,
        cache_dir: str | Path | None,
        hub: HubOptions,
        store: ProgramStore | None = None,
        check: Callable[[EncoderConfig], EncoderConfig] = lambda config: config,
        needs_pooling: bool = True,
    ) -> "PretrainedModel":
        """Load a model by its name or folder.

        Args:
            source: A model's name, or a folder.
            precision: The precision to convert the params to.
            cache_dir: The folder for downloaded files.
            hub: How to access the hub.
            store: Where int8 params are kept for the next process, if anywhere.
            check: Returns the config to use; it raises InputError if the model is of another kind.
            needs_pooling: Whether the pooling of the model is used.

        Raises:
            InputError: The precision is unknown, or the model is of another kind.
            ModelFileError: A file is missing, damaged, or belongs to another kind of model.
        """
        folder = model_folder(source, cache_dir=cache_dir, hub=hub)
        find_weights(folder)  # Before settings are read, which folders in other formats lack.
        config = check(read_config(folder, needs_pooling=needs_pooling))
        with ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-tokenizer") as pool:
            tokenizer = pool.submit(load_tokenizer, folder)
            params = load_cast(folder, config, precision, store)
        return cls(
            params=params,
            config=config,
            tokenizer=tokenizer.result(),
            max_seq_length=min(read_max_seq_length(folder) or config.max_length, config.max_length),
            settings=read_settings(folder),
            name=str(source),
        )
