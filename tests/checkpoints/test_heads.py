"""Classifiers and language models in the checkpoints of transformers: their configs, names and weights."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import minilm_jax as mj
from minilm_jax.checkpoints.folder_config import Settings, read_config
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.checkpoints.hub_names import from_hub, to_hub
from minilm_jax.nn.params import flatten, unflatten
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.json_files import write_json
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY, random_params

SIZES = {name: value for name, value in TINY.to_dict().items() if isinstance(value, int) and name != "normalize"}
BERT = {**SIZES, "architectures": ["BertForSequenceClassification"]}
PLAIN = dataclasses.replace(TINY, normalize=False)
ROBERTA = dataclasses.replace(PLAIN, padding_idx=1, type_vocab_size=1)
DISTILBERT = dataclasses.replace(PLAIN, type_vocab_size=1)
ONE, THREE = mj.Classifier(("LABEL_0",)), mj.Classifier(("a", "b", "c"))


def config_of(values: dict[str, Any]) -> mj.EncoderConfig:
    return mj.EncoderConfig.from_dict(values)


def test_labels_are_those_of_the_config() -> None:
    names = {"1": "entailment", "0": "contradiction", "2": "neutral"}
    assert config_of({**BERT, "id2label": names}).classifier == mj.Classifier(
        ("contradiction", "entailment", "neutral")
    )
    assert config_of({**BERT, "num_labels": 1}).classifier == ONE
    assert config_of(BERT).classifier == mj.Classifier(("LABEL_0", "LABEL_1"))
    assert config_of({**SIZES, "architectures": ["BertModel"]}).classifier is None
    assert config_of({**SIZES, "architectures": None}).classifier is None


@pytest.mark.parametrize("names", [{"0": "a", "2": "b"}, ["a"], "a", {"x": "a"}])
def test_labels_with_gaps_are_refused(names: Any) -> None:
    with pytest.raises(mj.ModelFileError, match="it must name the labels 0, 1, 2"):
        config_of({**BERT, "id2label": names})


@pytest.mark.parametrize(
    ("settings", "scores"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "identity"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}, "tanh"),
        ({"sentence_transformers": {"version": "5"}, "sbert_ce_default_activation_function": None}, "sigmoid"),
        ({}, "sigmoid"),
    ],
)
def test_activation_is_that_of_the_config(settings: dict[str, Any], scores: str) -> None:
    classifier = config_of({**BERT, "num_labels": 1, **settings}).classifier
    assert classifier is not None
    assert classifier.score_activation == scores


def test_several_labels_have_no_activation_by_default() -> None:
    assert THREE.score_activation == "identity"


def test_unknown_activation_is_refused() -> None:
    with pytest.raises(mj.ModelFileError, match=r"activation_fn is 'mine\.Sigmoid'; implemented: torch"):
        config_of({**BERT, "sentence_transformers": {"activation_fn": "mine.Sigmoid"}})


def test_activation_in_the_newer_settings_file_comes_first(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {**BERT, "num_labels": 1})
    write_json(tmp_path / "config_sentence_transformers.json", {"activation_fn": "torch.nn.modules.activation.Softmax"})
    assert read_config(tmp_path).classifier == mj.Classifier(("LABEL_0",), scores="softmax")


def test_folder_with_pooling_is_an_encoder_whatever_its_architecture(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", BERT)
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    write_json(tmp_path / "modules.json", modules)
    (tmp_path / "1_Pooling").mkdir()
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    assert read_config(tmp_path) == dataclasses.replace(TINY, pooling="cls", normalize=False)


@pytest.mark.parametrize("kind", ["electra", "mpnet", "deberta-v2", "modernbert"])
def test_cross_encoder_of_another_architecture_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    write_json(tmp_path / "config.json", {**BERT, "model_type": kind})
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(mj.ModelFileError, match=f"model_type is '{kind}'"):
        mj.CrossEncoder(tmp_path)


MODELS = {
    "bert": (dataclasses.replace(PLAIN, classifier=THREE), "bert.pooler.dense.weight", "classifier.weight"),
    "roberta": (
        dataclasses.replace(ROBERTA, classifier=ONE),
        "classifier.dense.weight",
        "classifier.out_proj.weight",
    ),
    "distilbert": (
        dataclasses.replace(DISTILBERT, classifier=mj.Classifier(("a", "b"), "relu")),
        "pre_classifier.weight",
        "classifier.weight",
    ),
    "bert-splade": (
        dataclasses.replace(PLAIN, sparse_head=mj.SparseHead("sum")),
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.bias",
    ),
    "roberta-splade": (
        dataclasses.replace(ROBERTA, sparse_head=mj.SparseHead()),
        "lm_head.layer_norm.weight",
        "lm_head.bias",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_saved_model_has_the_names_of_transformers_and_loads_unchanged(name: str, tmp_path: Path) -> None:
    config, *names = MODELS[name]
    params = random_params(config, seed=8, pooler=config.sparse_head is None)
    tokenizer = TextTokenizer(write_tokenizer(tmp_path), token_types=config.type_vocab_size > 1)
    write_model_folder(tmp_path / "model", params, config, tokenizer, 9, Settings())
    assert {*names} <= load_file(tmp_path / "model" / "model.safetensors").keys()
    loaded = mj.load_params(tmp_path / "model")
    assert with_scores(loaded.config) == with_scores(config)
    batch = mj.Batch(np.arange(4, 12, dtype=np.int32)[None], np.ones((1, 8), np.int32))
    compute = mj.classify if config.classifier else mj.embed_sparse
    np.testing.assert_allclose(compute(loaded, batch), compute(params, batch), rtol=0, atol=1e-6)


def with_scores(config: mj.EncoderConfig) -> mj.EncoderConfig:
    """State the activation, as saved configs do."""
    if config.classifier is None:
        return config
    stated = dataclasses.replace(config.classifier, scores=config.classifier.score_activation)
    return dataclasses.replace(config, classifier=stated)


def distilbert_language_model(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    names = {
        "cls.predictions.transform.dense.": "vocab_transform.",
        "cls.predictions.transform.LayerNorm.": "vocab_layer_norm.",
        "cls.predictions.": "vocab_projector.",
    }
    renamed = {}
    for name, tensor in tensors.items():
        theirs = next(
            (theirs + name.removeprefix(ours) for ours, theirs in names.items() if name.startswith(ours)), name
        )
        renamed[theirs] = tensor
    return renamed


SPARSE = dataclasses.replace(TINY, sparse_head=mj.SparseHead())


@pytest.fixture
def language_model() -> dict[str, NDArray[Any]]:
    return to_hub(random_params(SPARSE, seed=9, pooler=False), SPARSE)


def test_language_model_of_distilbert_is_that_of_bert(language_model: dict[str, NDArray[Any]]) -> None:
    assert from_hub(distilbert_language_model(language_model), SPARSE).keys() == from_hub(language_model, SPARSE).keys()


def test_copies_of_the_table_and_of_the_bias_are_accepted(language_model: dict[str, NDArray[Any]]) -> None:
    words = language_model["bert.embeddings.word_embeddings.weight"]
    expected = from_hub(language_model, SPARSE)
    bias = language_model["cls.predictions.bias"]
    copies = {"cls.predictions.decoder.weight": words, "cls.predictions.decoder.bias": bias}
    pairs = {"cls.seq_relationship.weight": np.zeros((2, 24), np.float32)}
    found = from_hub({**language_model, **copies, **pairs}, SPARSE)
    assert found.keys() == expected.keys()
    only_copy = {**language_model, "cls.predictions.decoder.bias": bias}
    del only_copy["cls.predictions.bias"]
    np.testing.assert_array_equal(from_hub(only_copy, SPARSE)["predictions.bias"], bias)


@pytest.mark.parametrize("name", ["decoder.weight", "decoder.bias"])
def test_language_model_with_its_own_table_is_refused(language_model: dict[str, NDArray[Any]], name: str) -> None:
    like = {"decoder.weight": "bert.embeddings.word_embeddings.weight", "decoder.bias": "cls.predictions.bias"}[name]
    tensors = {**language_model, f"cls.predictions.{name}": language_model[like] + 1}
    with pytest.raises(mj.ModelFileError, match=f"predictions.{name} differs from the weights that it should share"):
        from_hub(tensors, SPARSE)


def test_missing_classifier_is_named(tmp_path: Path) -> None:
    config, params = dataclasses.replace(TINY, classifier=ONE), random_params(TINY, seed=1)
    write_json(tmp_path / "config.json", {**BERT, "num_labels": 1})
    save_file(to_hub(params), tmp_path / "model.safetensors")
    with pytest.raises(mj.ModelFileError, match=r"- classifier\.kernel \(24, 1\)"):
        mj.load_params(tmp_path)
    assert config.output_size == 1


def test_unknown_part_of_a_classifier_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, classifier=ONE)
    tensors = {**to_hub(random_params(config, seed=2), config), "score.weight": np.zeros((1, 24), np.float32)}
    with pytest.raises(mj.ModelFileError, match=r"score\.weight, which is not part of a head"):
        from_hub(tensors, config)


def test_pretraining_head_beside_a_classifier_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    config = dataclasses.replace(TINY, classifier=ONE)
    tensors = {**to_hub(random_params(config, seed=2), config), "cls.predictions.bias": np.zeros(99, np.float32)}
    with caplog.at_level(logging.WARNING, "minilm_jax"):
        mj_params = unflatten(from_hub(tensors, config))
    assert flatten(mj_params).keys() == flatten(random_params(config, seed=2)).keys()
    assert "pretraining head are not used" in caplog.text


def test_relu_classifier_that_is_not_distilbert_cannot_be_saved(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, classifier=mj.Classifier(("a",), "relu"))
    tokenizer = TextTokenizer(write_tokenizer(tmp_path))
    with pytest.raises(
        mj.InputError, match="no class of transformers has a classifier with relu and type_vocab_size=2"
    ):
        write_model_folder(tmp_path / "model", random_params(config, seed=3), config, tokenizer, 9, Settings())
    assert not (tmp_path / "model").exists()


def test_splade_folder_states_its_head(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {**SIZES, "architectures": ["BertForMaskedLM"]})
    kinds = {"": "sentence_transformers.base.modules.transformer.Transformer"}
    kinds |= {"1_SpladePooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling"}
    write_json(tmp_path / "modules.json", [{"path": path, "type": kind} for path, kind in kinds.items()])
    (tmp_path / "1_SpladePooling").mkdir()
    settings = tmp_path / "1_SpladePooling" / "config.json"
    settings.write_text(json.dumps({"pooling_strategy": "sum", "activation_function": "log1p_relu"}))
    assert read_config(tmp_path).sparse_head == mj.SparseHead("sum", "log1p_relu")
    settings.write_text(json.dumps({"pooling_strategy": "mean"}))
    with pytest.raises(mj.ModelFileError, match="sparse_head: pooling is 'mean'; supported: max, sum"):
        read_config(tmp_path)
