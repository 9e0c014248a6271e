"""Scores that the authors of cross-encoders publish, with the real weights.

These weights are on the Hugging Face hub only, in no package. Without a connection, set RERANKERS to a folder with one
folder per model, such as ms-marco-MiniLM-L6-v2. With CI=true, a model that is missing fails the tests.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import minilm_jax as mj

# The sources print this many digits, or compute in bfloat16.
PRINTED = 1e-3
BFLOAT16 = 0.05

BERLIN = "How many people live in Berlin?"
POPULATION = (
    "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "Berlin is well known for its museums.",
)
CAPITAL = ("Paris is the capital of France.", "Berlin is the capital of Germany.")


@functools.cache
def model(name: str) -> mj.CrossEncoder:
    """Return a model from the hub or from the folder of rerankers."""
    folder = os.environ.get("RERANKERS")
    try:
        source = Path(folder) / name.rpartition("/")[2] if folder else name
        return mj.CrossEncoder(source, activation_fn="identity")
    except mj.ModelFileError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{name} is only on the hub, which this machine cannot reach; set RERANKERS ({error!s:.100})")


def scores(name: str, query: str, documents: Sequence[str]) -> np.ndarray:
    return model(name).predict([(query, document) for document in documents])


def test_scores_of_ms_marco_l6() -> None:
    name = "cross-encoder/ms-marco-MiniLM-L6-v2"
    np.testing.assert_allclose(scores(name, BERLIN, POPULATION), [8.607, -4.320], rtol=0, atol=PRINTED)
    shorter = ("Berlin had a population of 3,520,031 in 2019.", POPULATION[1])
    np.testing.assert_allclose(scores(name, BERLIN, shorter), [8.40307, -4.3200774], rtol=0, atol=PRINTED)
    found = scores(name, "What is the capital of France?", CAPITAL)
    np.testing.assert_allclose(found, [8.500708, -2.541011], rtol=0, atol=PRINTED)


def test_default_activation_of_ms_marco_is_the_logit() -> None:
    name = "cross-encoder/ms-marco-MiniLM-L6-v2"
    assert model(name).config.classifier == mj.Classifier(("LABEL_0",), scores="identity")


def test_scores_of_ms_marco_l12() -> None:
    found = scores("cross-encoder/ms-marco-MiniLM-L12-v2", "What is the capital of France?", CAPITAL)
    np.testing.assert_allclose(found, [9.330912, -2.0380247], rtol=0, atol=PRINTED)


def test_scores_of_bge_reranker() -> None:
    found = scores("BAAI/bge-reranker-base", "What is the capital of France?", CAPITAL)
    np.testing.assert_allclose(found, [6.157333, -3.659394], rtol=0, atol=PRINTED)


PLANETS = (
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ms-marco-MiniLM-L6-v2", [-6.531, 9.688, 6.906, 6.688]),
        ("ms-marco-MiniLM-L12-v2", [-7.156, 9.5, 5.719, 6.844]),
        ("ms-marco-MiniLM-L4-v2", [-7.875, 9.0, 5.688, 6.656]),
        ("ms-marco-MiniLM-L2-v2", [-10.25, 9.813, 7.938, 8.313]),
        ("ms-marco-TinyBERT-L2-v2", [-10.875, 7.0, 5.875, 5.688]),
    ],
)
def test_scores_of_planets(name: str, expected: list[float]) -> None:
    found = scores(f"cross-encoder/{name}", "Which planet is known as the Red Planet?", PLANETS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * BFLOAT16)
