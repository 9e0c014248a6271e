"""Pooling and other modules of sentence-transformers folders: each is computed, or refused by name."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import minilm_jax as mj
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.hub_names import to_hub
from minilm_jax.checkpoints.model_tokenizer import load_tokenizer
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.compiled import embed
from tests.helpers.json_files import write_json
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY, TINY_BATCH

NETWORK = {name: value for name, value in TINY.to_dict().items() if name not in ("pooling", "normalize")}
MEAN = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True}
DENSE = {"in_features": 24, "out_features": 5, "bias": True}
PREFIX = "sentence_transformers.models."

Modules = list[tuple[str, str, Mapping[str, Any] | None]]


def write_modules(folder: Path, modules: Modules) -> Path:
    """Write config.json, modules.json, and the config of each module, given as (path, class, config)."""
    write_json(folder / "config.json", NETWORK)
    write_json(folder / "modules.json", [{"path": path, "type": kind} for path, kind, _ in modules])
    for path, _, config in modules:
        if config is not None:
            write_json(folder / path / "config.json", config)
    return folder


def pooled(config: Mapping[str, Any], *others: tuple[str, str, Mapping[str, Any] | None]) -> Modules:
    """Return the transformer, a Pooling module, and further modules."""
    return [("", f"{PREFIX}Transformer", None), ("1_Pooling", f"{PREFIX}Pooling", config), *others]


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode_weightedmean_tokens": True}, "weighted_mean"),
        ({"pooling_mode_lasttoken": True}, "last_token"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls+mean"),
        ({"pooling_mode_mean_tokens": False}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean", "cls"], "embedding_dimension": 24, "include_prompt": True}, "mean+cls"),
    ],
)
def test_pooling_is_read(tmp_path: Path, settings: Mapping[str, Any], pooling: str) -> None:
    config = read_config(write_modules(tmp_path, pooled(settings)))
    assert config == dataclasses.replace(TINY, pooling=pooling, normalize=False)


def test_modules_are_read_in_their_order_with_their_paths(tmp_path: Path) -> None:
    modules = [
        ("0_Transformer", "sentence_transformers.base.modules.transformer.Transformer", NETWORK),
        ("2_Pooling", f"{PREFIX}Pooling", {"pooling_mode": "cls"}),
        ("7_Dense", f"{PREFIX}Dense", DENSE | {"activation_function": "torch.nn.modules.linear.Identity"}),
        ("8_LayerNorm", f"{PREFIX}LayerNorm", {"dimension": 5}),
        ("9_Dropout", f"{PREFIX}Dropout", {"dropout": 0.1}),
        ("10_Normalize", f"{PREFIX}Normalize", None),
    ]
    write_modules(tmp_path, modules)
    (tmp_path / "config.json").unlink()
    projections = (mj.Projection("dense", 5), mj.Projection("layer_norm", 5))
    assert read_config(tmp_path) == dataclasses.replace(TINY, pooling="cls", projections=projections)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (pooled({"pooling_mode": "median"}), "median"),
        (pooled({"pooling_mode": 3}), "pooling is 3"),
        (pooled({}), "pooling is"),
        (pooled({"pooling_mode_new_tokens": True}), "pooling_mode_new_tokens"),
        (pooled(MEAN | {"include_prompt": False}), "include_prompt is False"),
        (pooled(MEAN | {"word_embedding_dimension": 23}), "23 dimensions"),
        (pooled(MEAN, ("2_Pooling", f"{PREFIX}Pooling", MEAN)), "Transformer, Pooling, Pooling"),
        (pooled(MEAN, ("2_CNN", f"{PREFIX}CNN", {})), "CNN"),
        (pooled(MEAN, ("2_Dense", "custom.Dense", DENSE)), "custom.Dense"),
        (pooled(MEAN, ("2_Dense", f"{PREFIX}Dense", DENSE | {"use_residual": True})), "use_residual"),
        (pooled(MEAN, ("2_Dense", f"{PREFIX}Dense", DENSE | {"activation_function": "torch.nn.SELU"})), "SELU"),
        (pooled(MEAN, ("2_Dense", f"{PREFIX}Dense", {})), "features"),
        (pooled(MEAN, ("2_Dense", f"{PREFIX}Dense", None)), "2_Dense.*missing"),
        (
            pooled(MEAN, ("2_Normalize", f"{PREFIX}Normalize", None), ("3_Dense", f"{PREFIX}Dense", DENSE)),
            "Normalize before Dense",
        ),
        (
            pooled(MEAN, ("2_Normalize", f"{PREFIX}Normalize", {"module_input_name": "token_embeddings"})),
            "module_input",
        ),
        (pooled(MEAN)[:1], "Transformer"),
        (pooled(MEAN)[1:], "Pooling"),
        ([("../other", f"{PREFIX}Transformer", None), *pooled(MEAN)[1:]], "outside"),
    ],
)
def test_other_module_is_refused_by_name(tmp_path: Path, modules: Modules, message: str) -> None:
    with pytest.raises(mj.ModelFileError, match=message):
        read_config(write_modules(tmp_path / "model", modules))


def test_missing_modules_file_is_an_error_if_a_pooling_folder_exists(tmp_path: Path) -> None:
    write_modules(tmp_path, pooled(MEAN))
    (tmp_path / "modules.json").unlink()
    with pytest.raises(mj.ModelFileError, match=r"modules\.json is missing, although 1_Pooling exists"):
        read_config(tmp_path)


def test_unstated_pooling_is_the_mean_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_json(tmp_path / "config.json", NETWORK)
    assert read_config(tmp_path) == dataclasses.replace(TINY, normalize=False)
    assert "states no pooling; assumed: mean" in caplog.text


def test_dense_weights_are_loaded_from_their_module(tiny_params: mj.EncoderParams, tmp_path: Path) -> None:
    write_modules(tmp_path, pooled(MEAN, ("2_Dense", f"{PREFIX}Dense", DENSE | {"bias": False})))
    save_file(to_hub(tiny_params), tmp_path / "model.safetensors")
    kernel = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    save_file({"linear.weight": np.ascontiguousarray(kernel.T)}, tmp_path / "2_Dense" / "model.safetensors")
    params = mj.load_params(tmp_path)
    mean = embed(tiny_params, TINY_BATCH, dataclasses.replace(TINY, normalize=False))
    np.testing.assert_allclose(embed(params, TINY_BATCH), np.tanh(mean @ kernel), atol=1e-6)
    (tmp_path / "2_Dense" / "model.safetensors").rename(tmp_path / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(mj.ModelFileError, match=r"2_Dense.*pytorch_model\.bin is not read"):
        mj.load_params(tmp_path)


@pytest.mark.parametrize("normalizer", [None, {"type": "Strip", "strip_left": True, "strip_right": True}])
def test_lower_case_setting_is_applied_before_the_tokenizer(tmp_path: Path, normalizer: Any) -> None:
    write_tokenizer(tmp_path, "normalizer", normalizer)
    write_json(tmp_path / "sentence_bert_config.json", {"do_lower_case": True})
    lowered, plain = load_tokenizer(tmp_path), TextTokenizer(tmp_path / "tokenizer.json")
    ids = plain(["hello ac"]).tokens.ids.tolist()
    assert lowered(["HELLO Ac"]).tokens.ids.tolist() == ids != plain(["HELLO Ac"]).tokens.ids.tolist()
