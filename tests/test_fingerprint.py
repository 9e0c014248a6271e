"""Fingerprint of a model: it changes with everything that changes vectors, and with nothing else."""

import dataclasses
import types
from typing import Any

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import ALL_MINILM_L6_V2, Classifier, EncoderConfig, Projection, SparseHead
from minilm_jax.config.encoder_config import DROPOUT_FIELDS
from minilm_jax.fingerprint import fingerprint

# A valid value other than the default for every field that changes vectors.
OTHER_VALUES: dict[str, Any] = {
    "vocab_size": 30_523,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 3_072,
    "max_position_embeddings": 256,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_new",
    "padding_idx": 1,
    "pooling": "cls",
    "projections": (Projection("dense", 8),),
    "normalize": False,
    "classifier": Classifier(("relevance",)),
    "sparse_head": SparseHead(),
}
# These fields do not change vectors.
NOT_OF_VECTORS = {"attention_implementation", *DROPOUT_FIELDS}


def model(**changes: Any) -> Any:
    """Return a stand-in for a model with one weight and the given changes."""
    attributes = {
        "config": ALL_MINILM_L6_V2,
        "params": {"embeddings": {"scale": np.ones(3, np.float32)}},
        "tokenizer": types.SimpleNamespace(to_json=lambda: "{}"),
        "max_seq_length": 256,
        "truncate_dim": None,
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
    }
    return types.SimpleNamespace(**{**attributes, **changes})


def test_fingerprint_ignores_the_source_and_the_pooler_of_a_model(encoder: mj.SentenceEncoder) -> None:
    assert fingerprint(encoder) == fingerprint(mj.SentenceEncoder.from_pretrained())
    without_pooler = {name: leaf for name, leaf in encoder.params.items() if name != "pooler"}
    assert fingerprint(encoder) == fingerprint(mj.SentenceEncoder(without_pooler, encoder.config, encoder.tokenizer))


def test_fingerprint_ignores_dropout() -> None:
    config = dataclasses.replace(ALL_MINILM_L6_V2, **dict.fromkeys(DROPOUT_FIELDS, 0.3))
    assert fingerprint(model(config=config)) == fingerprint(model())


def test_fingerprint_ignores_the_order_of_fields_and_the_repr_of_the_config() -> None:
    class Reordered(EncoderConfig):
        def to_dict(self) -> dict[str, Any]:
            return dict(reversed(super().to_dict().items()))

        def __repr__(self) -> str:
            return "another repr"

    reordered = Reordered(**dataclasses.asdict(ALL_MINILM_L6_V2))
    assert [*reordered.to_dict()] != [*ALL_MINILM_L6_V2.to_dict()]
    assert fingerprint(model(config=reordered)) == fingerprint(model())
    assert fingerprint(model(prompts={"document": "", "query": ""})) == fingerprint(model())


def test_fingerprint_ignores_the_implementation_of_attention() -> None:
    assert fingerprint(
        model(config=dataclasses.replace(ALL_MINILM_L6_V2, attention_implementation="cudnn"))
    ) == fingerprint(model())


def test_fingerprint_accepts_numpy_integers() -> None:
    assert fingerprint(model(max_seq_length=np.int64(256))) == fingerprint(model())


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(EncoderConfig) if field.name not in NOT_OF_VECTORS]
)
def test_fingerprint_changes_with_every_config_field_that_changes_vectors(name: str) -> None:
    assert fingerprint(
        model(config=dataclasses.replace(ALL_MINILM_L6_V2, **{name: OTHER_VALUES[name]}))
    ) != fingerprint(model())


@pytest.mark.parametrize(
    "change",
    [
        {"max_seq_length": 128},
        {"truncate_dim": 100},
        {"prompts": {"query": "query: ", "document": ""}},
        {"default_prompt_name": "query"},
        {"tokenizer": types.SimpleNamespace(to_json=lambda: '{"version": "1.0"}')},
        {"params": {"embeddings": {"scale": np.ones(3, np.float16)}}},
        {"params": {"embeddings": {"scale": np.ones((1, 3), np.float32)}}},
        {"params": {"embeddings": {"scale": np.full(3, 2, np.float32)}}},
        {"params": {"embeddings": {"bias": np.ones(3, np.float32)}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fingerprint_changes_with_settings_tokenizer_and_params(change: dict[str, Any]) -> None:
    assert fingerprint(model(**change)) != fingerprint(model())
