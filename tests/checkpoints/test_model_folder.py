"""Model folders: settings, saving and loading. In `make test-peers`, sentence-transformers loads saved folders."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.checkpoints.folder_config import Settings, read_config, read_max_seq_length, read_settings
from minilm_jax.nn.params import Params, flatten
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.json_files import write_json
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY

TEXTS = ["hello world", "a", "hello hello"]
SETTINGS = "config_sentence_transformers.json"


@pytest.fixture
def tiny(tiny_params: Params, tmp_path: Path) -> mj.SentenceEncoder:
    parts = TextTokenizer(write_tokenizer(tmp_path))
    return mj.SentenceEncoder(tiny_params, TINY, parts, 9, prompts={"query": "hello "}, truncate_dim=20)


def test_saved_encoder_loads_unchanged(tiny: mj.SentenceEncoder, tmp_path: Path) -> None:
    tiny.default_prompt_name, tiny.similarity_fn_name = "query", "dot"
    tiny.save_pretrained(tmp_path / "new" / "model")
    loaded = mj.SentenceEncoder(tmp_path / "new" / "model")
    assert (loaded.config, loaded.max_seq_length, loaded.truncate_dim) == (TINY, 9, 20)
    assert (loaded.prompts, loaded.default_prompt_name, loaded.similarity_fn_name) == (tiny.prompts, "query", "dot")
    assert all(np.array_equal(leaf, flatten(tiny.params)[path]) for path, leaf in flatten(loaded.params).items())
    np.testing.assert_array_equal(loaded.encode(TEXTS), tiny.encode(TEXTS))


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", False), ("cls", True)])
def test_saved_config_keeps_pooling_and_normalization(
    tiny: mj.SentenceEncoder, tmp_path: Path, pooling: Any, normalize: bool
) -> None:
    config = mj.EncoderConfig.from_dict(TINY.to_dict() | {"pooling": pooling, "normalize": normalize})
    mj.SentenceEncoder(tiny.params, config, tiny.tokenizer, 9).save_pretrained(tmp_path / "model")
    assert read_config(tmp_path / "model") == config


def test_save_replaces_an_earlier_model_but_no_other_files(tiny: mj.SentenceEncoder, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path / "model")
    tiny.truncate_dim = 3
    tiny.save_pretrained(tmp_path / "model")
    assert mj.SentenceEncoder(tmp_path / "model").truncate_dim == 3
    (tmp_path / "model" / "notes.txt").write_text("mine")
    before = sorted(os.listdir(tmp_path / "model"))
    tiny.save_pretrained(tmp_path / "model")
    assert sorted(os.listdir(tmp_path / "model")) == before


def test_save_to_a_file_is_rejected(tiny: mj.SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(mj.InputError, match="is a file; choose a folder for the model"):
        tiny.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_save_to_the_working_directory(
    tiny: mj.SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("first: ", "second: "):
        tiny.prompts["query"] = text
        tiny.save_pretrained(".")
    assert os.getcwd() == str(tmp_path)
    assert mj.SentenceEncoder(".").prompts["query"] == "second: "


@pytest.mark.parametrize("name", ["params.safetensors", "params.msgpack", "adapter_config.json"])
def test_save_rejects_a_folder_whose_files_would_be_loaded_instead(
    tiny: mj.SentenceEncoder, tmp_path: Path, name: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).touch()
    with pytest.raises(mj.InputError, match=f"contains {name}, which would be loaded instead of the model"):
        tiny.save_pretrained(tmp_path / "model")
    assert os.listdir(tmp_path / "model") == [name]


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_saving_rounded_params_raises_error(tiny: mj.SentenceEncoder, tmp_path: Path, precision: Any) -> None:
    rounded = mj.SentenceEncoder(mj.cast(tiny.params, precision, TINY), TINY, tiny.tokenizer, 9)
    with pytest.raises(mj.InputError, match="only float32 params are saved"):
        rounded.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_missing_settings_have_default_values(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings()
    write_json(
        tmp_path / SETTINGS, {"prompts": {"query": "q: ", "none": None}, "truncate_dim": None, "model_type": "other"}
    )
    assert read_settings(tmp_path) == Settings({"query": "q: ", "none": ""})


@pytest.mark.parametrize(
    "values",
    [
        {"prompts": ["a"]},
        {"prompts": {"query": 3}},
        {"default_prompt_name": {}},
        {"similarity_fn_name": 1},
        {"truncate_dim": "9"},
        [],
        3,
    ],
)
def test_damaged_settings_raise_error_with_the_file_name(tmp_path: Path, values: Any) -> None:
    write_json(tmp_path / SETTINGS, values)
    with pytest.raises(mj.ModelFileError, match=SETTINGS):
        read_settings(tmp_path)


def test_max_seq_length_is_read_from_the_folder(tmp_path: Path) -> None:
    assert read_max_seq_length(tmp_path) is None
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 128})
    write_json(tmp_path / "sentence_bert_config.json", {"transformer_task": "feature-extraction"})
    assert read_max_seq_length(tmp_path) == 128
    write_json(tmp_path / "sentence_bert_config.json", {"max_seq_length": 64})
    assert read_max_seq_length(tmp_path) == 64
    write_json(tmp_path / "sentence_bert_config.json", {"max_seq_length": 0})
    with pytest.raises(mj.ModelFileError, match="max_seq_length is 0"):
        read_max_seq_length(tmp_path)
