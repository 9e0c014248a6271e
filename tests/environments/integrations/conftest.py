"""Fixtures of the adapter tests: the real model, and packages without telemetry or network access."""

import os

import pytest

# The packages read these variables at import.
os.environ |= {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "ANONYMIZED_TELEMETRY": "False"}

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.shared_encoders import shared_encoder


@pytest.fixture(scope="session")
def encoder() -> mj.SentenceEncoder:
    return shared_encoder(DEFAULT_MODEL, "float32")
