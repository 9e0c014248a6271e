"""The folder in which sentence-transformers keeps a model: its settings read, and such a folder written."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minilm_jax.checkpoint import HUB_FILE, write_safetensors
from minilm_jax.config import EncoderConfig, read_json
from minilm_jax.errors import InputError, ModelFileError
from minilm_jax.hub_layout import to_hub
from minilm_jax.params import Params, flatten
from minilm_jax.tokenization import TOKENIZER_FILE, TextTokenizer
from minilm_jax.whole_files import replaced

_SETTINGS_FILE = "config_sentence_transformers.json"
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
    path = folder / _SETTINGS_FILE
    values = read_json(path, dict) if path.exists() else {}
    given = {name: values[name] for name in _KINDS if values.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, _KINDS[name]):
            raise ModelFileError(f"{path}: {name} is a {type(value).__name__}, not a {_KINDS[name].__name__}.")
    prompts = {name: prompt or "" for name, prompt in given.get("prompts", {}).items()}
    if not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise ModelFileError(f"{path}: prompts are not all strings.")
    return Settings(**{**given, "prompts": prompts})


def write_hub_folder(
    path: Path,
    params: Params,
    config: EncoderConfig,
    tokenizer: TextTokenizer,
    max_seq_length: int,
    settings: Settings,
) -> None:
    """Writes a model folder in one step, laid out as those on the hub are.

    Args:
        path: The folder; an earlier model that was written to it is replaced.
        params: Of float32 arrays.
        config: Sizes and pooling of the encoder.
        tokenizer: The model's tokenizer.
        max_seq_length: Most tokens a text.
        settings: How texts are encoded.

    Raises:
        InputError: params are not float32, or the folder holds other files, which would be lost.
        OSError: The folder cannot be written.
    """
    if any(leaf.dtype != np.float32 for leaf in flatten(params).values()):
        raise InputError("only float32 params are saved; load the model with precision='float32'.")
    files = _json_files(config, tokenizer, max_seq_length, settings)
    own = {HUB_FILE, TOKENIZER_FILE, "2_Normalize", *(name.partition("/")[0] for name in files)}
    if foreign := sorted({file.name for file in path.glob("*")} - own):
        raise InputError(f"{path} also holds {foreign[0]!r}, which would be lost; choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as new:
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        tokenizer.save(new / TOKENIZER_FILE)
        write_safetensors(to_hub(params), new / HUB_FILE, "pt")


def _json_files(
    config: EncoderConfig, tokenizer: TextTokenizer, max_seq_length: int, settings: Settings
) -> dict[str, Any]:
    network = {name: value for name, value in config.to_dict().items() if name not in ("pooling", "normalize")}
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")][: 2 + config.normalize]
    return {
        "config.json": {"architectures": ["BertModel"], **network, "pad_token_id": 0},
        "sentence_bert_config.json": {"max_seq_length": max_seq_length, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": config.hidden_size,
            "pooling_mode_mean_tokens": config.pooling == "mean",
            "pooling_mode_cls_token": config.pooling == "cls",
        },
        "modules.json": [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(modules)
        ],
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_seq_length,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **tokenizer.special_tokens,
        },
        _SETTINGS_FILE: dataclasses.asdict(settings),
    }
