"""`EncoderParams`: params carry the config of their model through jax, optax, casts and files."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax import export

import minilm_jax as mj
from tests.helpers.compiled import embed
from tests.helpers.tiny_model import TINY, TINY_BATCH, random_params

OTHER = dataclasses.replace(TINY, pooling="cls", normalize=False, layer_norm_eps=1e-5, hidden_act="gelu_new")


@pytest.fixture(scope="module")
def params() -> mj.EncoderParams:
    return random_params(OTHER, 0)


def step(params: mj.EncoderParams) -> Any:
    """Return params after one step of gradient descent."""
    optimizer = optax.sgd(1e-3, momentum=0.9)
    gradient = jax.jit(jax.grad(lambda tree: mj.embed(tree, TINY_BATCH).sum()))(params)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    return optax.apply_updates(params, updates)


@pytest.mark.parametrize(
    "through",
    [
        lambda p: jax.tree.map(lambda leaf: leaf, p),
        jax.jit(lambda p: p),
        jax.device_put,
        step,
        lambda p: mj.cast(p, "float32"),
        lambda p: mj.cast(p, "bfloat16"),
        lambda p: mj.cast(p, "int8"),
        lambda p: pickle.loads(pickle.dumps(p)),
        copy.deepcopy,
        copy.copy,
        lambda p: p.copy(),
        lambda p: p | {"pooler": p["pooler"]},
    ],
    ids=["map", "jit", "put", "optax", "float32", "bfloat16", "int8", "pickle", "deepcopy", "copy", "own copy", "or"],
)
def test_config_survives(params: mj.EncoderParams, through: Callable[[mj.EncoderParams], Any]) -> None:
    assert through(params).config == OTHER


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack", "orbax"])
def test_saved_params_compute_the_same_model_without_a_config(
    params: mj.EncoderParams, tmp_path: Path, suffix: str
) -> None:
    mj.save_params(params, tmp_path / f"params.{suffix}")
    loaded = mj.load_params(tmp_path / f"params.{suffix}")
    assert loaded.config == OTHER
    np.testing.assert_array_equal(embed(loaded, TINY_BATCH), embed(params, TINY_BATCH, OTHER))


def test_config_in_a_file_that_differs_from_its_folder_raises_error(params: mj.EncoderParams, tmp_path: Path) -> None:
    mj.save_params(params, tmp_path / "params.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(TINY.to_dict()), "utf-8")
    with pytest.raises(mj.ModelFileError, match="another config"):
        mj.load_params(tmp_path / "params.safetensors")
    assert mj.load_params(tmp_path / "params.safetensors", TINY).config == TINY


def test_explicit_config_takes_precedence(params: mj.EncoderParams) -> None:
    vectors = embed(params, TINY_BATCH, TINY)
    np.testing.assert_array_equal(vectors, embed(dict(params), TINY_BATCH, TINY))
    assert not np.allclose(vectors, embed(params, TINY_BATCH))


@pytest.mark.parametrize(
    "change",
    [{"num_hidden_layers": 3}, {"intermediate_size": 41}, {"vocab_size": 98}, {"type_vocab_size": 1}],
    ids=lambda change: next(iter(change)),
)
def test_config_of_another_model_raises_error(params: mj.EncoderParams, change: dict[str, int]) -> None:
    with pytest.raises(mj.InputError, match="params do not fit the config"):
        embed(params, TINY_BATCH, dataclasses.replace(TINY, **change))


@pytest.mark.parametrize("function", [mj.embed, mj.encode])
def test_plain_dict_of_another_model_raises_error(params: mj.EncoderParams, function: Callable[..., Any]) -> None:
    with pytest.raises(mj.InputError, match=r"carry no config.*load_config"):
        jax.jit(function)(dict(params), TINY_BATCH)


def test_plain_dict_of_the_default_model_works(encoder: mj.SentenceEncoder) -> None:
    batch = mj.tokenize("Hello world")
    np.testing.assert_array_equal(embed(dict(encoder.params), batch), embed(encoder.params, batch))


def test_features_of_the_encoder_are_a_batch(encoder: mj.SentenceEncoder) -> None:
    vector = embed(encoder.params, encoder.tokenize("Hello world"))
    np.testing.assert_allclose(vector[0], encoder.encode("Hello world"), atol=1e-6)


@pytest.mark.parametrize("batch", ["Hello world", ["Hello world"], {"input_ids": [[1]]}, np.ones((1, 3))])
def test_texts_instead_of_a_batch_raise_error(params: mj.EncoderParams, batch: Any) -> None:
    with pytest.raises(mj.InputError, match=r"mj\.tokenize"):
        mj.embed(params, batch)


def test_exported_function_of_params_is_serialized(params: mj.EncoderParams) -> None:
    data = export.export(jax.jit(mj.embed))(params, TINY_BATCH).serialize()
    vectors = export.deserialize(data).call(params, TINY_BATCH)
    np.testing.assert_allclose(vectors, embed(params, TINY_BATCH), atol=1e-6)
    data = export.export(jax.jit(mj.embed))(params, TINY_BATCH, TINY).serialize()
    vectors = export.deserialize(data).call(params, TINY_BATCH, TINY)
    np.testing.assert_allclose(vectors, embed(params, TINY_BATCH, TINY), atol=1e-6)


def test_exported_function_of_params_accepts_any_length_up_to_the_positions(params: mj.EncoderParams) -> None:
    shape = export.symbolic_shape("b, t", constraints=[f"t <= {OTHER.max_length}"])
    rows = jax.ShapeDtypeStruct(shape, np.int32)
    exported = export.export(jax.jit(mj.embed))(params, mj.Batch(rows, rows))
    vectors = exported.call(params, TINY_BATCH)
    np.testing.assert_allclose(vectors, embed(params, TINY_BATCH), atol=1e-6)
