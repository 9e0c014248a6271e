"""The tiny BERT models of all forms: their sizes, random weights, inputs, and reference outputs by torch."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers

USUAL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
MATRIX_GRID, VECTOR_GRID = 4, 256
BERT = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
# RoBERTa counts positions from the id of the padding token, so it has two more positions.
ROBERTA = BERT | {"max_position_embeddings": 26, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}
DISTILBERT = {
    **{"vocab_size": 40, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 24}
}
SIZES: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "three-layers": BERT
    | {"vocab_size": 50, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 72},
    "one-layer": BERT | {"hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 128},
    "gelu-new": BERT | {"hidden_act": "gelu_new"},
    "shared-layers": BERT,
    "zero-bias": BERT,
    "roberta": ROBERTA,
    "distilbert": DISTILBERT,
    "reranker-roberta": ROBERTA | {"num_labels": 1},
    "reranker-distilbert": DISTILBERT | {"num_labels": 1},
    "reranker": BERT | {"num_labels": 1},
    "nli": BERT | {"num_labels": 3},
    "masked-lm": BERT,
    "masked-lm-roberta": ROBERTA,
}
CLASSES = {
    "roberta": ("RobertaModel", "RobertaConfig"),
    "distilbert": ("DistilBertModel", "DistilBertConfig"),
    "reranker": ("BertForSequenceClassification", "BertConfig"),
    "nli": ("BertForSequenceClassification", "BertConfig"),
    "reranker-roberta": ("RobertaForSequenceClassification", "RobertaConfig"),
    "reranker-distilbert": ("DistilBertForSequenceClassification", "DistilBertConfig"),
    "masked-lm": ("BertForMaskedLM", "BertConfig"),
    "masked-lm-roberta": ("RobertaForMaskedLM", "RobertaConfig"),
}


def config(name: str, attention: str = "eager", **changes: Any) -> transformers.PretrainedConfig:
    """Return the config of one of `SIZES`, with changes.

    Args:
        name: A key of `SIZES`.
        attention: "eager" or "sdpa".
        changes: Other settings to change.
    """
    kind = getattr(transformers, CLASSES.get(name, ("", "BertConfig"))[1])
    found = kind(**(SIZES[name] | changes), **({} if "distilbert" in name else {"use_cache": False}))
    found._attn_implementation = attention
    return found


def randomize(module: torch.nn.Module, seed: str) -> torch.nn.Module:
    """Set every parameter to random values that depend only on the seed and the name of the parameter.

    Values are multiples of 1/4 in matrices and of 1/256 in vectors, so that the files compress well and float16 is
    exact. Two seeds are special: all layers of "shared-layers" are equal, and in "zero-bias" all biases are 0 and the
    scales of LayerNorm are 1.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            place = name.replace("layer.1", "layer.0") if seed == "shared-layers" else name
            random = np.random.default_rng(zlib.crc32(f"{seed}/{place}".encode()))
            values = random.normal(0.0, 0.3, tuple(parameter.shape))
            grid = MATRIX_GRID if parameter.ndim >= 2 else VECTOR_GRID
            values = np.round(values * grid) / grid
            if parameter.ndim < 2 and seed == "zero-bias":
                values = np.zeros_like(values)
            if "norm" in name.lower() and name.endswith("weight"):
                values = 1.0 + values.clip(-0.875, 0.875)
            parameter.copy_(torch.from_numpy(values))
    return module.eval()


def bert(name: str = "bert", *, attention: str = "eager", pooler: bool = True) -> torch.nn.Module:
    """Build one of the models with its weights, in float32 and evaluation mode."""
    kind = getattr(transformers, CLASSES.get(name, ("BertModel", ""))[0])
    options = {} if name == "distilbert" or has_head(name) else {"add_pooling_layer": pooler}
    return randomize(kind(config(name, attention), **options), name)


def has_head(name: str) -> bool:
    """Return whether a model is a classifier or a masked language model, whose output is logits."""
    return "For" in CLASSES.get(name, ("",))[0]


def weights(name: str) -> dict[str, np.ndarray]:
    """Return the state dict of a model, of an encoder with its pooler."""
    return {key: value.numpy() for key, value in bert(name).state_dict().items() if value.is_floating_point()}


def batch(name: str = "bert", tokens: int = 12) -> dict[str, np.ndarray]:
    """Return a batch of two sequences, one of them padded, with both token types and the usual positions.

    Args:
        name: A key of `SIZES`, for the size of the vocabulary.
        tokens: Length of the longer sequence.
    """
    random = np.random.default_rng(tokens)
    lengths = np.array([tokens - 4, tokens])
    places = np.arange(tokens)
    mask = (places < lengths[:, None]).astype(np.int64)
    padding = SIZES[name].get("pad_token_id", 0)
    ids = random.integers(1, SIZES[name]["vocab_size"], mask.shape)
    return {
        "input_ids": np.where(mask != 0, ids, padding),
        "attention_mask": mask,
        "token_type_ids": (places >= tokens // 2) * mask,
        "position_ids": np.broadcast_to(places, mask.shape).copy(),
    }


def embed(hidden: torch.Tensor, mask: torch.Tensor, pooling: str, *, normalize: bool) -> torch.Tensor:
    """Pool token vectors as sentence-transformers does.

    Args:
        hidden: Float [B, T, D].
        mask: Integer [B, T].
        pooling: "mean" or "cls".
        normalize: Whether to scale to unit length.

    Returns:
        Float [B, D].
    """
    if pooling == "cls":
        vector = hidden[:, 0]
    else:
        wide = mask.unsqueeze(-1).expand(hidden.size()).to(hidden.dtype)
        vector = torch.sum(hidden * wide, 1) / torch.clamp(wide.sum(1), min=1e-9)
    return torch.nn.functional.normalize(vector, p=2.0, dim=1) if normalize else vector


def reference(name: str, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs of torch in float64: logits, or last hidden state, pooler output and all pooled outputs."""
    tensors = {key: torch.from_numpy(np.asarray(value, np.int64)) for key, value in feed.items()}
    with torch.no_grad():
        output = bert(name).double()(**tensors)
    if has_head(name):
        return {"logits": output.logits.numpy()}
    hidden, mask = output.last_hidden_state, tensors["attention_mask"]
    results = {"last_hidden_state": hidden}
    if name != "distilbert":
        results["pooler_output"] = output.pooler_output
    for pooling in ("mean", "cls"):
        for normalize in (False, True):
            results[pooling_key(pooling, normalize=normalize)] = embed(hidden, mask, pooling, normalize=normalize)
    return {key: value.numpy() for key, value in results.items()}


def pooling_key(pooling: str, *, normalize: bool) -> str:
    """Return the name of a pooled result in `reference`."""
    return f"{pooling}+normalize" if normalize else pooling
