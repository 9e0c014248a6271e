"""The settings in a model folder: config.json and the files of sentence-transformers."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.json_files import read_json
from minilm_jax.checkpoints.sentence_modules import read_sentence_modules, transformer_folder
from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig, short_repr
from minilm_jax.config.heads import HEAD_FIELDS, score_activation
from minilm_jax.errors import ModelFileError

_log = logging.getLogger("minilm_jax")
_SENTENCE_FILE = "sentence_bert_config.json"
# These sizes distinguish models with the same vocabulary. The number of positions and of token types is not compared,
# because a graph may have fewer than its model.
_MODEL_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")

SETTINGS_FILE = "config_sentence_transformers.json"
# Each setting must have this type or be null.
_KINDS = {
    "prompts": dict,
    "default_prompt_name": str,
    "similarity_fn_name": str,
    "truncate_dim": int,
    "max_active_dims": int,
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Defaults of calls in a model folder.

    Attributes:
        prompts: Prompts by their names.
        default_prompt_name: Name of the prompt that is used by default, or None.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan", or None.
        truncate_dim: Number of dimensions of the vectors, or None for all.
        max_active_dims: Maximum number of weights of a sparse vector, or None for all.
    """

    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None
    truncate_dim: int | None = None
    max_active_dims: int | None = None


def read_settings(folder: Path) -> Settings:
    """Read `config_sentence_transformers.json`; without the file, the settings are the defaults.

    Raises:
        ModelFileError: The file is damaged.
    """
    path = folder / SETTINGS_FILE
    values = read_json(path, dict) if path.exists() else {}
    given = {name: values[name] for name in _KINDS if values.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, _KINDS[name]):
            raise ModelFileError(f"{path}: {name} is a {type(value).__name__}, not a {_KINDS[name].__name__}.")
    prompts = {name: prompt or "" for name, prompt in given.get("prompts", {}).items()}
    if not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise ModelFileError(f"{path}: prompts are not all strings.")
    return Settings(**{**given, "prompts": prompts})


def read_config(folder: Path, *, needs_pooling: bool = True) -> EncoderConfig:
    """Read `config.json`, and the pooling from the files of sentence-transformers, if present.

    Args:
        folder: A model folder.
        needs_pooling: Whether the caller uses the pooling.

    Returns:
        The config. If nothing states the pooling, it is assumed as in `with_pooling`, which is logged.

    Raises:
        ModelFileError: A file is missing, is not a JSON object, or describes another kind of model.
    """
    path = transformer_folder(folder) / "config.json"
    values = read_json(path, dict)
    try:
        config = EncoderConfig.from_dict(values)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    config, is_stated = with_pooling(config, folder)
    config = with_scores(config, folder)
    if needs_pooling and not is_stated and config.classifier is None:
        _log.warning("%s states no pooling; assumed: %s", folder, describe_pooling(config))
    return config


def with_scores(config: EncoderConfig, folder: Path) -> EncoderConfig:
    """Complete a config by the activation of a cross-encoder that sentence-transformers 6 writes to another file.

    Raises:
        ModelFileError: The file is damaged, or the activation is not implemented.
    """
    path = folder / SETTINGS_FILE
    stated = read_json(path, dict).get("activation_fn") if config.classifier is not None and path.exists() else None
    if config.classifier is None or stated is None:
        return config
    try:
        scores = score_activation(stated)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return dataclasses.replace(config, classifier=dataclasses.replace(config.classifier, scores=scores))


def with_pooling(config: EncoderConfig, folder: Path | None) -> tuple[EncoderConfig, bool]:
    """Complete a config by the pooling that a model folder states.

    If it states none, the mean of the tokens is assumed, as in sentence-transformers. It is normalized if the model has
    the sizes of all-MiniLM-L6-v2.

    Args:
        config: The config of the network.
        folder: The model folder, or None.

    Returns:
        The config, and whether its pooling is stated.

    Raises:
        ModelFileError: A file is missing or damaged, or a module is not implemented.
    """
    stated = read_pooling(folder) if folder is not None else None
    assumed = {"pooling": "mean", "projections": (), "normalize": has_default_sizes(config)}
    return dataclasses.replace(config, **(stated or assumed)), stated is not None


def has_default_sizes(config: EncoderConfig) -> bool:
    """Return whether a model has the sizes of all-MiniLM-L6-v2."""
    return all(getattr(config, size) == getattr(ALL_MINILM_L6_V2, size) for size in _MODEL_SIZES)


def describe_pooling(config: EncoderConfig) -> str:
    """Return the pooling of a config in a few words, such as "mean, unit length"."""
    return f"{config.pooling}{', unit length' * config.normalize}"


def folder_of(file: Path) -> Path | None:
    """Return the model folder of a weight file, or None: its own folder, or the one above it.

    In repositories on the hub, ONNX files are in a subfolder.

    Raises:
        ModelFileError: A file that states the pooling is damaged.
    """
    own, above = file.parent, file.parent.parent
    if read_pooling(own) is not None:
        return own
    is_part = file.suffix == ".onnx" or transformer_folder(above) == own
    if is_part and read_pooling(above) is not None:
        return above
    return own if (own / "config.json").exists() else None


def read_pooling(folder: Path) -> dict[str, Any] | None:
    """Read the pooling, projections, normalization and head that a model folder states.

    Args:
        folder: A model folder: a converted one, or one from the hub.

    Returns:
        These fields of `EncoderConfig`, or None if the folder states no pooling.

    Raises:
        ModelFileError: A file is missing or damaged, or a module is not implemented.
    """
    path = transformer_folder(folder) / "config.json"
    values = read_json(path, dict) if path.exists() else {}
    if "pooling" in values:
        # Converted folders have these fields in config.json, and no modules.json.
        config = EncoderConfig.from_dict(values)
        return {name: getattr(config, name) for name in ("pooling", "normalize", *HEAD_FIELDS)}
    modules = read_sentence_modules(folder)
    if modules is None:
        return None
    width = values.get("hidden_size", values.get("dim", modules.pooled_from))
    if modules.pooled_from not in (None, width):
        raise ModelFileError(
            f"{folder}: its Pooling module is for {modules.pooled_from} dimensions, but config.json states {width}."
        )
    return {
        "pooling": modules.pooling,
        "projections": modules.projections,
        "normalize": modules.normalize,
        "sparse_head": modules.sparse_head,
        "classifier": None,
    }


def load_config(source: str | Path = DEFAULT_MODEL, *, cache_dir: str | Path | None = None) -> EncoderConfig:
    """Return the config of a model, with its pooling.

    Args:
        source: A model's name, or a model folder.
        cache_dir: The folder for downloaded files, see `minilm_jax.checkpoints.cache`.

    Returns:
        The config, for `embed` and `encode`.

    Raises:
        ModelFileError: A file is missing, damaged, or describes another kind of model.

    Examples:
        >>> import minilm_jax as mj
        >>> config = mj.load_config("all-MiniLM-L6-v2")
        >>> config.pooling, config.hidden_size
        ('mean', 384)
    """
    return read_config(model_folder(source, cache_dir=cache_dir))


def read_max_seq_length(path: Path) -> int | None:
    """Return the maximum tokens per text that a model folder states, or None.

    Args:
        path: A model folder, which may contain `sentence_bert_config.json` or `tokenizer_config.json`.

    Raises:
        ModelFileError: A file is damaged.
    """
    path = transformer_folder(path)
    for name, key in ((_SENTENCE_FILE, "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        length = read_json(path / name, dict).get(key) if (path / name).exists() else None
        if length is None:
            continue
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ModelFileError(f"{path / name}: {key} is {short_repr(length)}; it must be a positive integer.")
        return length
    return None


def read_lowercases(folder: Path) -> bool:
    """Return whether texts are converted to lower case before they are tokenized.

    Raises:
        ModelFileError: `sentence_bert_config.json` is damaged.
    """
    path = transformer_folder(folder) / _SENTENCE_FILE
    return path.exists() and read_json(path, dict).get("do_lower_case") is True


def read_has_token_types(folder: Path) -> bool:
    """Return whether a model has several token types; DistilBERT and RoBERTa do not.

    Raises:
        ModelFileError: `config.json` is damaged.
    """
    path = transformer_folder(folder) / "config.json"
    # A folder with only a tokenizer has no config.json.
    values = read_json(path, dict) if path.exists() else {}
    return values.get("model_type") != "distilbert" and values.get("type_vocab_size", 2) != 1
