"""Export models that resemble BERT but are not BERT; the converter must reject them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import exporters
import numpy as np
import onnx
import rewrites
import tiny
import torch
import transformers

IDS = ("input_ids", "attention_mask")
SIZE = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
GPT2 = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24, "use_cache": False}
T5 = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
DISTIL = {"vocab_size": 40, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 24}
ELECTRA = "ElectraForSequenceClassification"
VIT = {key: SIZE[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}


@dataclass(frozen=True)
class OtherExport(exporters.Export):
    """One way of exporting another model; `output` is the name of its result."""

    output: str = "last_hidden_state"

    @property
    def outputs(self) -> list[str]:
        """Name of the graph's outputs."""
        return [self.output]


@dataclass(frozen=True)
class OtherModel:
    """A model that is not BERT.

    Attributes:
        name: File name without its extension.
        special: The difference from BERT.
        build: Function that makes the module.
        export: The way to export it.
        optimum: Whether to export it with optimum, because torch alone cannot.
        rewrite: A change of the exported graph, after which its output differs from that of the module.
    """

    name: str
    special: str
    build: Callable[[], torch.nn.Module]
    export: OtherExport
    optimum: bool = False
    rewrite: rewrites.Rewrite | None = None


class Convolution(torch.nn.Module):
    """A few convolutions over an image."""

    def __init__(self) -> None:
        """Build the layers."""
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        """Run the convolutions."""
        return {"last_hidden_state": self.second(torch.relu(self.first(pixel_values)))}


class Unpooled(torch.nn.Module):
    """A classifier over the first token of BERT, without a pooler."""

    def __init__(self) -> None:
        """Build the layers."""
        super().__init__()
        self.bert = made("BertModel", "BertConfig", **tiny.BERT)()
        self.classifier = torch.nn.Linear(tiny.BERT["hidden_size"], 2)

    def forward(self, **inputs: Any) -> dict[str, torch.Tensor]:
        """Return the logits."""
        return {"logits": self.classifier(self.bert(**inputs).last_hidden_state[:, 0])}


def made(model: str, config: str, **sizes: Any) -> Callable[[], torch.nn.Module]:
    """Return a function that builds a model of transformers from the names of its class and of its config."""

    def build() -> torch.nn.Module:
        settings = getattr(transformers, config)(**sizes)
        settings._attn_implementation = "eager"
        return getattr(transformers, model)(settings)

    return build


def other_models() -> list[OtherModel]:
    """Return all models."""
    usual, ids, pixels = (
        tiny.USUAL_INPUTS,
        OtherExport(14, inputs=IDS),
        OtherExport(14, inputs=("pixel_values",), axes="none"),
    )
    typed, logits = OtherExport(14, inputs=usual), OtherExport(14, inputs=usual, output="logits")
    bert = {**tiny.BERT, "use_cache": False}
    start, untied = OtherExport(14, inputs=usual, output="start_logits"), {"tie_word_embeddings": False}
    embedding, same = {"embedding_size": 16}, SIZE | {"embedding_size": 32}
    prenorm = made("RobertaPreLayerNormModel", "RobertaPreLayerNormConfig", **SIZE)
    plain = made("BertModel", "BertConfig", **bert)
    cause, relative = {"is_decoder": True}, {"position_embedding_type": "relative_key"}
    double = {"position_embedding_type": "relative_key_query"}
    return [
        OtherModel("roberta", "positions by cumulated mask", made("RobertaModel", "RobertaConfig", **SIZE), ids),
        OtherModel("mpnet", "relative position bias", made("MPNetModel", "MPNetConfig", **SIZE), ids),
        OtherModel("distilbert", "no token types", made("DistilBertModel", "DistilBertConfig", **DISTIL), ids),
        OtherModel("albert", "one shared layer", made("AlbertModel", "AlbertConfig", **SIZE, **embedding), typed),
        OtherModel(
            "electra", "projected embeddings", made("ElectraModel", "ElectraConfig", **SIZE, **embedding), typed
        ),
        OtherModel("gpt2", "causal, LayerNorm first", made("GPT2Model", "GPT2Config", **GPT2), ids, optimum=True),
        OtherModel("t5-encoder", "relative bias, RMS norm", made("T5EncoderModel", "T5Config", **T5), ids),
        OtherModel("modernbert", "rotary", made("ModernBertModel", "ModernBertConfig", **SIZE, **SPECIAL), ids),
        OtherModel("deberta", "disentangled attention", made("DebertaModel", "DebertaConfig", **SIZE), ids),
        OtherModel("prenorm", "LayerNorm first", prenorm, ids),
        OtherModel("vit", "image patches", made("ViTModel", "ViTConfig", **VIT, image_size=16, patch_size=8), pixels),
        OtherModel("convolution", "no transformer", Convolution, pixels),
        OtherModel("bert-relu", "ReLU", made("BertModel", "BertConfig", **bert | {"hidden_act": "relu"}), typed),
        OtherModel("bert-silu", "SiLU", made("BertModel", "BertConfig", **bert | {"hidden_act": "silu"}), typed),
        OtherModel(
            "bert-tokens", "a label per token", made("BertForTokenClassification", "BertConfig", **bert), logits
        ),
        OtherModel("bert-answers", "start and end", made("BertForQuestionAnswering", "BertConfig", **bert), start),
        OtherModel("bert-no-pooler", "a classifier without a pooler", Unpooled, logits),
        OtherModel(
            "bert-own-table",
            "logits with their own table",
            made("BertForMaskedLM", "BertConfig", **bert, **untied),
            logits,
        ),
        OtherModel("electra-classifier", "GELU in the classifier", made(ELECTRA, "ElectraConfig", **same), logits),
        OtherModel("bert-relative", "relative keys", made("BertModel", "BertConfig", **bert, **relative), typed),
        OtherModel("bert-relative-query", "relative too", made("BertModel", "BertConfig", **bert, **double), typed),
        OtherModel("bert-decoder", "causal mask", made("BertModel", "BertConfig", **bert, **cause), typed),
        OtherModel(
            "bert-other-scale", "scores over 8, not over its root", plain, typed, rewrite=rewrites.scale_changed
        ),
        OtherModel("bert-no-residual", "one residual missing", plain, typed, rewrite=rewrites.residual_dropped),
    ]


def feed(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return an example input."""
    every = tiny.batch() | {"pixel_values": np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)}
    return {name: every[name] for name in names}


def run(other: OtherModel) -> tuple[onnx.ModelProto, np.ndarray]:
    """Export a model.

    Args:
        other: The model.

    Returns:
        Its graph, and the output of torch on `feed`.
    """
    export = other.export
    module = tiny.randomize(other.build(), other.name)
    plain = module.forward

    def forward(*values: torch.Tensor) -> torch.Tensor:
        return plain(**dict(zip(export.inputs, values, strict=True)), **options(module))[export.output]

    values = tuple(torch.from_numpy(value) for value in feed(export.inputs).values())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = forward(*values).numpy()
        if other.optimum:
            return exporters.optimum(export.opset, module), expected
        module.forward = forward
        model = exporters.traced(module, values, export)
    return (other.rewrite(model) if other.rewrite else model), expected


def options(module: torch.nn.Module) -> Mapping[str, Any]:
    """Return the arguments of a module other than its inputs."""
    return {} if isinstance(module, Convolution) else {"return_dict": True}
