"""`EncoderConfig`: read from the files of a folder, with errors for damaged and unsupported ones."""

from pathlib import Path
from typing import Any

import pytest

import minilm_jax as mj
from minilm_jax.checkpoints.folder_config import read_config
from tests.helpers.json_files import write_json


def test_preset_equals_the_published_config(folder: Path) -> None:
    assert read_config(folder) == mj.ALL_MINILM_L6_V2


def test_config_round_trips_through_a_dict() -> None:
    config = mj.EncoderConfig(hidden_size=768, num_hidden_layers=12, pooling="cls", normalize=False)
    assert mj.EncoderConfig.from_dict(config.to_dict()) == config
    assert hash(mj.EncoderConfig.from_dict(config.to_dict())) == hash(config)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "only 'absolute' is implemented"),
        ("model_type", "roberta", "only 'bert' is implemented"),
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
    with pytest.raises(mj.ModelFileError, match="vocab_size, num_hidden_layers missing"):
        mj.EncoderConfig.from_dict({"hidden_size": 384, "num_attention_heads": 12})


@pytest.mark.parametrize(("mode", "pooling"), [("pooling_mode_cls_token", "cls"), ("pooling_mode_mean_tokens", "mean")])
def test_pooling_and_normalization_are_read_from_the_module_files(tmp_path: Path, mode: str, pooling: str) -> None:
    write_json(tmp_path / "config.json", mj.ALL_MINILM_L6_V2.to_dict() | {"pooling": "mean"})
    values = {k: v for k, v in mj.ALL_MINILM_L6_V2.to_dict().items() if k not in ("pooling", "normalize")}
    write_json(tmp_path / "config.json", values)
    write_json(tmp_path / "1_Pooling" / "config.json", {"word_embedding_dimension": 384, mode: True})
    write_json(tmp_path / "modules.json", [{"type": "sentence_transformers.models.Transformer"}])
    config = read_config(tmp_path)
    assert (config.pooling, config.normalize) == (pooling, False)


def test_unsupported_pooling_raises_error(tmp_path: Path) -> None:
    values = {k: v for k, v in mj.ALL_MINILM_L6_V2.to_dict().items() if k != "pooling"}
    write_json(tmp_path / "config.json", values)
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_max_tokens": True})
    with pytest.raises(mj.ModelFileError, match="pooling_mode_max_tokens"):
        read_config(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"vocab_size": 3}'])
def test_damaged_config_raises_error_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(mj.ModelFileError, match=r"config\.json"):
        read_config(tmp_path)


def test_missing_config_raises_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(mj.ModelFileError, match=r"config\.json is missing"):
        read_config(tmp_path)
