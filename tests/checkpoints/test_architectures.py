"""Configs and checkpoints of RoBERTa, DistilBERT and models with heads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import minilm_jax as mj
from minilm_jax.checkpoints.hub_names import to_hub
from minilm_jax.nn.params import flatten
from tests.helpers.tiny_model import TINY

DISTILBERT = {
    "model_type": "distilbert",
    "vocab_size": 99,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 40,
    "max_position_embeddings": 16,
    "activation": "gelu",
}
NAMES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
SIZES = {name: value for name, value in TINY.to_dict().items() if isinstance(value, int) and name != "normalize"}


def write(folder: Path, config: dict[str, Any], tensors: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    save_file(tensors, folder / "model.safetensors")
    return folder


def distilbert_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        if f".{ours}." in name:
            return "distilbert." + name.replace(f".{ours}.", f".{theirs}.").replace("encoder.", "transformer.")
    return f"distilbert.{name}"


def test_distilbert_loads_as_bert_without_token_types(tiny_params: mj.EncoderParams, tmp_path: Path) -> None:
    encoder = {name: leaf for name, leaf in tiny_params.items() if name != "pooler"}
    tensors = {distilbert_name(name): tensor for name, tensor in to_hub(encoder).items() if "token_type" not in name}
    params = mj.load_params(write(tmp_path, DISTILBERT, tensors))
    assert params.config.type_vocab_size == 1
    found = flatten(params)
    assert not np.any(found.pop("embeddings.token_type_embeddings.embedding"))
    for path, leaf in found.items():
        np.testing.assert_array_equal(leaf, flatten(tiny_params)[path])


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
def test_roberta_counts_positions_from_its_padding_id(kind: str) -> None:
    config = mj.EncoderConfig.from_dict({"model_type": kind, **SIZES, "pad_token_id": 2})
    assert (config.padding_idx, config.max_length) == (2, 13)
    assert mj.EncoderConfig.from_dict({"model_type": kind, **SIZES}).padding_idx == 1
    assert mj.EncoderConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("name", "implemented"),
    [("gelu_python", "gelu"), ("gelu_pytorch_tanh", "gelu_new"), ("gelu_fast", "gelu_new"), ("gelu", "gelu")],
)
def test_activation_has_several_names(name: str, implemented: str) -> None:
    assert mj.EncoderConfig.from_dict({**SIZES, "hidden_act": name}).hidden_act == implemented


@pytest.mark.parametrize("kind", ["mpnet", "nomic_bert", "modernbert", "deberta-v2", "electra", "t5"])
def test_other_architecture_is_refused_by_name(kind: str) -> None:
    with pytest.raises(mj.ModelFileError, match=f"model_type is '{kind}'"):
        mj.EncoderConfig.from_dict({**SIZES, "model_type": kind})


@pytest.mark.parametrize("head", ["cls.predictions.bias", "lm_head.bias", "vocab_transform.weight"])
def test_pretraining_head_is_dropped_with_a_notice(
    tiny_params: mj.EncoderParams, tmp_path: Path, caplog: pytest.LogCaptureFixture, head: str
) -> None:
    tensors = {f"bert.{name}": tensor for name, tensor in to_hub(tiny_params).items()} | {head: np.ones(3, np.float32)}
    assert mj.load_params(write(tmp_path, TINY.to_dict(), tensors)).config == TINY
    assert f"pretraining head are not used (1 tensors, such as {head})" in caplog.text


@pytest.mark.parametrize("head", ["classifier.weight", "pre_classifier.bias", "qa_outputs.weight", "score.weight"])
def test_task_head_is_refused(tiny_params: mj.EncoderParams, tmp_path: Path, head: str) -> None:
    tensors = {f"bert.{name}": tensor for name, tensor in to_hub(tiny_params).items()} | {head: np.ones(3, np.float32)}
    with pytest.raises(mj.ModelFileError, match=f"{head}: the head of another task"):
        mj.load_params(write(tmp_path, TINY.to_dict(), tensors))
