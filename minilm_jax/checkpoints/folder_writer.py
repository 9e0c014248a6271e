"""Writer of model folders that sentence-transformers, transformers and this project can read."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.folder_config import SETTINGS_FILE, Settings
from minilm_jax.checkpoints.hub_names import to_hub
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.checkpoints.weights import HUB_FILE, write_safetensors
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import InputError
from minilm_jax.nn.params import Params, flatten
from minilm_jax.tokens.tokenizer import TextTokenizer


def write_model_folder(
    path: Path,
    params: Params,
    config: EncoderConfig,
    tokenizer: TextTokenizer,
    max_seq_length: int,
    settings: Settings,
) -> None:
    """Write a model folder atomically, with the same files as model repositories on the hub.

    Args:
        path: The folder; an earlier model in it is replaced.
        params: Nested dict of float32 arrays.
        config: The encoder's config.
        tokenizer: The model's tokenizer.
        max_seq_length: Maximum tokens per text.
        settings: Prompts and other defaults of `encode`.

    Raises:
        InputError: params are not float32, or the folder contains other files, which would be lost.
        OSError: The folder cannot be written.
    """
    if any(leaf.dtype != np.float32 for leaf in flatten(params).values()):
        raise InputError("only float32 params are saved; load the model with precision='float32'.")
    files = _json_files(config, tokenizer, max_seq_length, settings)
    own = {HUB_FILE, TOKENIZER_FILE, "2_Normalize", *(name.partition("/")[0] for name in files)}
    if foreign := sorted({file.name for file in path.glob("*")} - own):
        raise InputError(f"{path} also contains {foreign[0]!r}, which would be lost; choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as new:
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
        SETTINGS_FILE: dataclasses.asdict(settings),
    }
