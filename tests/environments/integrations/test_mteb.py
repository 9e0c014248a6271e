"""MTEB: tiny tasks with data of their own, run through `mteb.evaluate`."""

from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from datasets import Dataset
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.mocks.mock_tasks.retrieval import MockRetrievalTask
from mteb.models import EncoderProtocol

import minilm_jax as mj
from minilm_jax.integrations.mteb import MinilmJaxEncoder
from tests.environments.integrations.texts import TEXTS, TOLERANCE

# From the same to unrelated: a good encoder ranks them so.
GRADED_PAIRS = {
    "sentence1": ["A man plays a guitar.", "A man plays a guitar.", "A man plays a guitar.", "A man plays a guitar."],
    "sentence2": ["A man is playing guitar.", "A woman plays the violin.", "A man eats pasta.", "Stocks fell sharply."],
    "score": [5.0, 3.0, 1.5, 0.0],
}


class TinySTS(AbsTaskSTS):
    metadata = TaskMetadata(
        name="TinySTS",
        description="Four graded pairs.",
        dataset={"path": "none", "revision": "none"},
        type="STS",
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="cosine_spearman",
    )

    def load_data(self, **options: Any) -> None:
        self.dataset = {"test": Dataset.from_dict(GRADED_PAIRS)}
        self.data_loaded = True


def test_it_is_an_encoder_to_mteb() -> None:
    assert isinstance(MinilmJaxEncoder(), EncoderProtocol)


def test_graded_pairs_are_ranked() -> None:
    (result,) = mteb.evaluate(MinilmJaxEncoder(), TinySTS(), cache=None, show_progress_bar=False).task_results
    assert result.get_score() == pytest.approx(1.0)


def test_queries_and_documents_are_embedded() -> None:
    (result,) = mteb.evaluate(MinilmJaxEncoder(), MockRetrievalTask(), cache=None, show_progress_bar=False).task_results
    assert 0 < result.get_score() <= 1


def test_the_vectors_are_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    batches = [{"text": TEXTS[:2]}, {"text": TEXTS[2:]}]
    vectors = MinilmJaxEncoder().encode(batches, task_metadata=TinySTS.metadata, hf_split="test", hf_subset="default")
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=TOLERANCE)


def test_results_are_kept_apart_by_weights_and_precision(tmp_path: Path) -> None:
    exact, rounded = MinilmJaxEncoder().mteb_model_meta, MinilmJaxEncoder(precision="int8").mteb_model_meta
    assert exact.name == rounded.name == "minilm-jax/all-minilm-l6-v2"
    assert exact.revision != rounded.revision
    assert (exact.experiment_name, rounded.experiment_name) == ("precision_float32", "precision_int8")
    assert (exact.embed_dim, exact.max_tokens) == (384, 256)
