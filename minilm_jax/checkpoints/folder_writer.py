"""Writer of model folders that sentence-transformers, transformers and this project can read."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from minilm_jax.atomic_files import atomic_folder
from minilm_jax.checkpoints.folder_config import SETTINGS_FILE, Settings
from minilm_jax.checkpoints.hub_files import HUB_FILE
from minilm_jax.checkpoints.hub_names import to_hub
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.checkpoints.projection_weights import to_torch
from minilm_jax.checkpoints.sentence_modules import ACTIVATIONS, MODE_SWITCHES, MODES
from minilm_jax.checkpoints.transformers_config import transformers_config
from minilm_jax.checkpoints.weights import params_file, write_safetensors
from minilm_jax.config import EncoderConfig, ParamsFormat, Projection
from minilm_jax.errors import InputError
from minilm_jax.nn.params import Params, flatten
from minilm_jax.tokens.tokenizer import TextTokenizer

# Readers prefer these files to model.safetensors, or apply them to it.
_LOADED_INSTEAD = (*map(params_file, get_args(ParamsFormat)), "adapter_config.json")
# transformers and sentence-transformers read these files of an earlier model, in addition to the new ones.
_OUTDATED = ("special_tokens_map.json", "added_tokens.json", "modules.json", "1_Pooling", "1_SpladePooling")
# sentence-transformers 6 writes these settings of the module of a cross-encoder.
_CLASSIFICATION = {
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "scores",
}
# torch defines its activations in one module, except this one.
_TORCH_MODULES = {"Identity": "linear"}


def write_model_folder(
    path: Path,
    params: Params,
    config: EncoderConfig,
    tokenizer: TextTokenizer,
    max_seq_length: int,
    settings: Settings,
) -> None:
    """Write a model folder, with the same files as model repositories on the hub.

    Args:
        path: The folder; an earlier model in it is replaced, and other files stay.
        params: Nested dict of float32 arrays.
        config: The encoder's config.
        tokenizer: The model's tokenizer.
        max_seq_length: Maximum tokens per text.
        settings: Prompts and other defaults of `encode`.

    Raises:
        InputError: params are not float32, no class of transformers has this classifier, the path is a file, or the
            folder contains a file that would be loaded instead of the model.
        OSError: The folder cannot be written.
    """
    if any(leaf.dtype != np.float32 for leaf in flatten(params).values()):
        raise InputError("only float32 params are saved; load the model with precision='float32'.")
    if path.is_file():
        raise InputError(f"{path} is a file; choose a folder for the model.")
    files = _json_files(config, tokenizer, max_seq_length, settings)
    own = {HUB_FILE, TOKENIZER_FILE, *_OUTDATED, *(name.partition("/")[0] for name in files)}
    if other := next((name for name in _LOADED_INSTEAD if (path / name).exists()), None):
        raise InputError(f"{path} contains {other}, which would be loaded instead of the model; choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path, HUB_FILE, own) as new:
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        for index, projection in enumerate(config.projections):
            tensors = to_torch(params["projections"][str(index)], projection)
            write_safetensors(tensors, new / _module_folder(index, projection) / HUB_FILE, "pt")
        tokenizer.save(new / TOKENIZER_FILE)
        encoder = {name: leaf for name, leaf in params.items() if name != "projections"}
        write_safetensors(to_hub(encoder, config), new / HUB_FILE, "pt")


def _json_files(
    config: EncoderConfig, tokenizer: TextTokenizer, max_seq_length: int, settings: Settings
) -> dict[str, Any]:
    names = ["input_ids", "token_type_ids", "attention_mask"]
    kind = "SentenceTransformer" if config.sparse_head is None else "SparseEncoder"
    kind = kind if config.classifier is None else "CrossEncoder"
    task = {} if config.classifier is None else _CLASSIFICATION
    return {
        "config.json": transformers_config(config),
        "sentence_bert_config.json": {"max_seq_length": max_seq_length, "do_lower_case": False, **task},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_seq_length,
            "model_input_names": names if config.type_vocab_size > 1 else [names[0], names[2]],
            **tokenizer.special_tokens,
        },
        SETTINGS_FILE: {
            "model_type": kind,
            **{name: value for name, value in dataclasses.asdict(settings).items() if value is not None},
        },
        **_modules(config),
    }


def _modules(config: EncoderConfig) -> dict[str, Any]:
    """Return `modules.json` and the settings of the modules after the transformer."""
    if config.classifier is not None:
        return {"modules.json": _listed({"": "Transformer"}, "models")}
    if config.sparse_head is not None:
        head = {"pooling_strategy": config.sparse_head.pooling, "activation_function": config.sparse_head.activation}
        kinds = {"": "MLMTransformer", "1_SpladePooling": "SpladePooling"}
        return {
            "1_SpladePooling/config.json": {**head, "word_embedding_dimension": config.vocab_size},
            "modules.json": _listed(kinds, "sparse_encoder.models"),
        }
    projections = {_module_folder(index, own): own for index, own in enumerate(config.projections)}
    folders = ["1_Pooling", *projections, *[f"{2 + len(projections)}_Normalize"] * config.normalize]
    return {
        "1_Pooling/config.json": _pooling_settings(config),
        **{f"{folder}/config.json": _projection_settings(config, index) for index, folder in enumerate(projections)},
        "modules.json": _listed(
            {"": "Transformer", **{folder: folder.partition("_")[2] for folder in folders}}, "models"
        ),
    }


def _listed(kinds: Mapping[str, str], package: str) -> list[dict[str, Any]]:
    return [
        {"idx": index, "name": str(index), "path": folder, "type": f"sentence_transformers.{package}.{kind}"}
        for index, (folder, kind) in enumerate(kinds.items())
    ]


def _module_folder(index: int, projection: Projection) -> str:
    return f"{2 + index}_{'Dense' if projection.kind == 'dense' else 'LayerNorm'}"


def _pooling_settings(config: EncoderConfig) -> dict[str, Any]:
    names = {mode: name for name, mode in MODES.items()}
    modes = [names[mode] for mode in config.pooling_modes]
    switches = {switch: mode in modes for switch, mode in MODE_SWITCHES.items()}
    size = {"word_embedding_dimension": config.hidden_size}
    # Versions before 6 only know the switches, whose order is fixed.
    is_ordered = [mode for mode in MODE_SWITCHES.values() if mode in modes] == modes
    return {**size, **switches} if is_ordered else {**size, "pooling_mode": modes}


def _projection_settings(config: EncoderConfig, index: int) -> dict[str, Any]:
    projection = config.projections[index]
    if projection.kind == "layer_norm":
        return {"dimension": projection.features}
    activation = next(name for name, own in ACTIVATIONS.items() if own == projection.activation)
    before = config.projections[index - 1].features if index else config.pooled_size
    return {
        "in_features": before,
        "out_features": projection.features,
        "bias": True,
        "activation_function": f"torch.nn.modules.{_TORCH_MODULES.get(activation, 'activation')}.{activation}",
    }
