"""Fixtures of the engine tests: the real model and the expected vectors."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

# Ray reads this when it is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from tests.environments.engines.texts import TEXTS


@pytest.fixture(scope="session")
def folder() -> Path:
    return model_folder(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def encoder(folder: Path) -> mj.SentenceEncoder:
    return mj.SentenceEncoder.from_pretrained(folder)


@pytest.fixture(scope="session")
def expected(encoder: mj.SentenceEncoder) -> list[NDArray[np.float32] | None]:
    return [encoder.encode(text) if text and text.strip() else None for text in TEXTS]
