"""The settings in a model folder: config.json and the files of sentence-transformers."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from minilm_jax.config import EncoderConfig, PoolingMode, short_repr
from minilm_jax.errors import ModelFileError

T = TypeVar("T")

SETTINGS_FILE = "config_sentence_transformers.json"
# Each setting must have this type or be null.
_KINDS = {"prompts": dict, "default_prompt_name": str, "similarity_fn_name": str, "truncate_dim": int}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Defaults of `encode` in a model folder.

    Attributes:
        prompts: Prompts by their names.
        default_prompt_name: Name of the prompt that is used by default, or None.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan".
        truncate_dim: Number of dimensions of the vectors, or None for all.
    """

    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str = "cosine"
    truncate_dim: int | None = None


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


def read_config(path: Path) -> EncoderConfig:
    """Read `config.json`, and the pooling from the files of sentence-transformers next to it, if present.

    Args:
        path: A model folder.

    Returns:
        The config.

    Raises:
        ModelFileError: A file is missing, is not a JSON object, or describes another kind of model.
    """
    values = read_json(path / "config.json", dict)
    pooling_file = path / "1_Pooling" / "config.json"
    if "pooling" not in values and pooling_file.exists():
        values["pooling"] = _pooling_mode(read_json(pooling_file, dict), pooling_file)
    modules_file = path / "modules.json"
    if "normalize" not in values and modules_file.exists():
        values["normalize"] = "Normalize" in _modules(read_json(modules_file, list), modules_file)
    try:
        return EncoderConfig.from_dict(values)
    except ModelFileError as error:
        raise ModelFileError(f"{path / 'config.json'}: {error}") from None


def read_max_seq_length(path: Path) -> int | None:
    """Return the maximum tokens per text that a model folder states, or None.

    Args:
        path: A model folder, which may contain `sentence_bert_config.json` or `tokenizer_config.json`.

    Raises:
        ModelFileError: A file is damaged.
    """
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        length = read_json(path / name, dict).get(key) if (path / name).exists() else None
        if length is None:
            continue
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ModelFileError(f"{path / name}: {key} is {short_repr(length)}; it must be a positive integer.")
        return length
    return None


def _pooling_mode(values: Mapping[str, Any], path: Path) -> str:
    if values.get("include_prompt", True) is not True:
        raise ModelFileError(f"{path}: include_prompt is false, but excluding prompts from pooling is not implemented.")
    # sentence-transformers up to version 5 writes one boolean per pooling mode, later versions a list of modes.
    modes = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"} | {
        m: m for m in get_args(PoolingMode)
    }
    named = values.get("pooling_mode", [])
    chosen = [name for name, on in values.items() if name.startswith("pooling_mode_") and on is True]
    chosen += named if isinstance(named, list) else [named]
    if len(chosen) != 1 or not isinstance(chosen[0], str) or chosen[0] not in modes:
        raise ModelFileError(f"{path}: pooling is {chosen!r:.200}; supported: {', '.join(modes)}, one at a time.")
    return modes[chosen[0]]


def _modules(modules: list[Any], path: Path) -> set[str]:
    """Return the types of a model's modules; raises ModelFileError if one is not implemented."""
    types = [module.get("type") if isinstance(module, dict) else module for module in modules]
    names = {str(name).rpartition(".")[2] for name in types}
    if not names <= {"Transformer", "Pooling", "Normalize"}:
        raise ModelFileError(
            f"{path}: modules are {types!r:.200}; only Transformer, Pooling, Normalize are implemented."
        )
    return names


def read_json(path: Path, kind: type[T]) -> T:
    """Return the content of a JSON file; raises ModelFileError if it is missing, damaged or of another type."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing; a model folder needs it in addition to the weights.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON ({error}); download it again.") from None
    if not isinstance(values, kind):
        raise ModelFileError(f"{path} contains a {type(values).__name__}, not a {kind.__name__}; download it again.")
    return values
