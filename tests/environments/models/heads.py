"""Configs of published cross-encoders and sparse encoders, and folders with these configs and random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from tests.environments.models.published import Published, write_tokenizer

_ONE = {"id2label": {0: "LABEL_0"}}
_BERT = {"model_type": "bert", "vocab_size": 30_522, "max_position_embeddings": 512, **_ONE}
_MINILM = {**_BERT, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1_536}
_ROBERTA = {
    "model_type": "roberta",
    "vocab_size": 50_265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 6,
    **_ONE,
}
_DISTIL = {"model_type": "distilbert", "vocab_size": 30_522}
_TINY = {"hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 1_200, "num_hidden_layers": 4}
_XLM_R = {**_ROBERTA, "model_type": "xlm-roberta", "vocab_size": 250_002, "num_hidden_layers": 12}
_NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}

CROSS_ENCODERS: Mapping[str, Mapping[str, Any]] = {
    "cross-encoder/ms-marco-TinyBERT-L2-v2": {
        **_BERT,
        "hidden_size": 128,
        "num_attention_heads": 2,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
    },
    "cross-encoder/ms-marco-MiniLM-L2-v2": {**_MINILM, "num_hidden_layers": 2},
    "cross-encoder/ms-marco-MiniLM-L4-v2": {**_MINILM, "num_hidden_layers": 4},
    "cross-encoder/ms-marco-MiniLM-L6-v2": {**_MINILM, "num_hidden_layers": 6},
    "cross-encoder/ms-marco-MiniLM-L12-v2": {**_MINILM, "num_hidden_layers": 12},
    "cross-encoder/ms-marco-TinyBERT-L4": {**_BERT, **_TINY},
    "cross-encoder/ms-marco-TinyBERT-L6": {**_BERT, "num_hidden_layers": 6},
    "cross-encoder/stsb-TinyBERT-L4": {**_BERT, **_TINY},
    "cross-encoder/stsb-distilroberta-base": _ROBERTA,
    "cross-encoder/nli-distilroberta-base": {**_ROBERTA, "id2label": _NLI},
    "BAAI/bge-reranker-base": _XLM_R,
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": {
        **_DISTIL,
        "id2label": {0: "NEGATIVE", 1: "POSITIVE"},
    },
}
SPARSE_ENCODERS: Mapping[str, Mapping[str, Any]] = {
    "naver/splade-v3": {**_BERT, "num_hidden_layers": 12},
    "naver/splade-v3-distilbert": _DISTIL,
    "rasyosef/splade-mini": {
        **_BERT,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1_024,
        "num_hidden_layers": 4,
    },
    "distilbert/distilroberta-base": _ROBERTA,
}


def write_head(folder: Path, config: Mapping[str, Any], kind: Any) -> torch.nn.Module:
    """Write a model folder with random weights, and return the model of transformers.

    Every weight affects the result: no bias is 0, and no scale is 1.

    Args:
        folder: The folder.
        config: The `config.json`.
        kind: `AutoModelForSequenceClassification` or `AutoModelForMaskedLM`.
    """
    torch.manual_seed(0)
    values = {name: value for name, value in config.items() if name != "model_type"}
    model = kind.from_config(AutoConfig.for_model(config["model_type"], **values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    write_tokenizer(folder, Published(config))
    return model
