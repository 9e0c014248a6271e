"""`EncoderConfig`: read from the files of a folder, with errors for damaged and unsupported ones."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import minilm_jax as mj
from minilm_jax.checkpoints.folder_config import read_config


def test_preset_equals_the_published_config(folder: Path) -> None:
    assert read_config(folder) == mj.ALL_MINILM_L6_V2


def test_config_round_trips_through_a_dict() -> None:
    config = dataclasses.replace(
        mj.ALL_MINILM_L6_V2, num_hidden_layers=12, pooling="cls+mean", normalize=False, padding_idx=1
    )
    config = dataclasses.replace(
        config, projections=(mj.Projection("dense", 8, "tanh"), mj.Projection("layer_norm", 8))
    )
    assert mj.EncoderConfig.from_dict(config.to_dict()) == config
    assert hash(mj.EncoderConfig.from_dict(config.to_dict())) == hash(config)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "only 'absolute' is implemented"),
        ("model_type", "mpnet", "only bert, roberta, .* are implemented"),
        ("is_decoder", True, "only False is implemented"),
        ("hidden_act", "relu", "supported: gelu, gelu_new"),
        ("hidden_size", 0, "positive integer"),
        ("num_hidden_layers", True, "positive integer"),
        ("vocab_size", "many", "positive integer"),
        ("num_attention_heads", 5, "not a multiple"),
    ],
)
def test_unsupported_config_value_raises_error(field: str, value: Any, message: str) -> None:
    with pytest.raises(mj.ModelFileError, match=message):
        mj.EncoderConfig.from_dict({**mj.ALL_MINILM_L6_V2.to_dict(), field: value})


def test_missing_sizes_are_listed_in_the_error() -> None:
    with pytest.raises(mj.ModelFileError, match=r"vocab_size, num_hidden_layers, intermediate_size, .* missing"):
        mj.EncoderConfig.from_dict({"hidden_size": 384, "num_attention_heads": 12})


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"vocab_size": 3}'])
def test_damaged_config_raises_error_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(mj.ModelFileError, match=r"config\.json"):
        read_config(tmp_path)


def test_missing_config_raises_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(mj.ModelFileError, match=r"config\.json is missing"):
        read_config(tmp_path)
