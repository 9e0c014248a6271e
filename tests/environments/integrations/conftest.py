"""Fixtures of the adapter tests: the models, and packages without telemetry or network access."""

import os

import pytest

# The packages read these variables at import.
os.environ |= {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "ANONYMIZED_TELEMETRY": "False"}

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.shared_encoders import shared_encoder
from tests.helpers.small_heads import NLI, cross_encoder


@pytest.fixture(scope="session")
def encoder() -> mj.SentenceEncoder:
    return shared_encoder(DEFAULT_MODEL, "float32")


@pytest.fixture(scope="session")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a small cross-encoder with random weights."""
    folder = tmp_path_factory.mktemp("reranker")
    cross_encoder(model_folder(DEFAULT_MODEL)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def three_labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a cross-encoder that does not rank, because it has three labels."""
    folder = tmp_path_factory.mktemp("nli")
    cross_encoder(model_folder(DEFAULT_MODEL), NLI).save_pretrained(folder)
    return str(folder)
