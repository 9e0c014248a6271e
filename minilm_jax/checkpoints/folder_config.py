"""The settings in a model folder: config.json and the files of sentence-transformers."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from minilm_jax.config import EncoderConfig, Pooling, short_repr
from minilm_jax.errors import ModelFileError

T = TypeVar("T")

SETTINGS_FILE = "config_sentence_transformers.json"
# Of each setting what it may be beside null.
_KINDS = {"prompts": dict, "default_prompt_name": str, "similarity_fn_name": str, "truncate_dim": int}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the texts of a model are encoded where a call does not say.

    Attributes:
        prompts: By their names, what is put before every text.
        default_prompt_name: The prompt of calls that name none.
        similarity_fn_name: How vectors are compared: "cosine", "dot", "euclidean" or "manhattan".
        truncate_dim: How many dimensions of a vector are kept, or None for all.
    """

    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str = "cosine"
    truncate_dim: int | None = None


def read_settings(folder: Path) -> Settings:
    """Reads `config_sentence_transformers.json`, where a model folder has one.

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
    """Reads `config.json`, and the pooling from the sentence-transformers files beside it where there are any.

    Args:
        path: A model folder.

    Returns:
        The config.

    Raises:
        ModelFileError: A file is missing, is no JSON object, or describes another kind of model.
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
    """Returns the longest text, in tokens, that a model was trained for, or None where its folder does not say.

    Args:
        path: A model folder, with `sentence_bert_config.json` or `tokenizer_config.json`, or without.

    Raises:
        ModelFileError: A file is damaged.
    """
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        length = read_json(path / name, dict).get(key) if (path / name).exists() else None
        if length is None:
            continue
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ModelFileError(f"{path / name}: {key} is {short_repr(length)}; it must be a positive whole number.")
        return length
    return None


def _pooling_mode(values: Mapping[str, Any], path: Path) -> str:
    if values.get("include_prompt", True) is not True:
        raise ModelFileError(f"{path}: include_prompt is off; prompts that are not pooled are not implemented.")
    # Up to sentence-transformers 5 a switch for each mode, from 6 on their name or names.
    modes = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"} | {m: m for m in get_args(Pooling)}
    named = values.get("pooling_mode", [])
    chosen = [name for name, on in values.items() if name.startswith("pooling_mode_") and on is True]
    chosen += named if isinstance(named, list) else [named]
    if len(chosen) != 1 or not isinstance(chosen[0], str) or chosen[0] not in modes:
        raise ModelFileError(f"{path}: pooling is {chosen!r:.200}; supported: {', '.join(modes)}, one at a time.")
    return modes[chosen[0]]


def _modules(modules: list[Any], path: Path) -> set[str]:
    """Returns the kinds of module that follow one another in a model; there may be no other."""
    types = [module.get("type") if isinstance(module, dict) else module for module in modules]
    names = {str(name).rpartition(".")[2] for name in types}
    if not names <= {"Transformer", "Pooling", "Normalize"}:
        raise ModelFileError(
            f"{path}: modules are {types!r:.200}; only Transformer, Pooling, Normalize are implemented."
        )
    return names


def read_json(path: Path, kind: type[T]) -> T:
    """Returns what a JSON file of a model holds; ModelFileError where it is missing, damaged, or of another kind."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing; a model folder needs it beside the weights.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON ({error}); fetch it again.") from None
    if not isinstance(values, kind):
        raise ModelFileError(f"{path} holds a {type(values).__name__}, not a {kind.__name__}; fetch it again.")
    return values
