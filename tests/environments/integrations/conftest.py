"""What the tests of the adapters share: the real model by its name, and packages that keep to themselves."""

import os

import pytest

# Read when the packages are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "ANONYMIZED_TELEMETRY": "False"}

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.shared_encoders import shared_encoder


@pytest.fixture(scope="session")
def encoder() -> mj.SentenceEncoder:
    return shared_encoder(DEFAULT_MODEL, "float32")
