"""MTEB: `mteb.evaluate` on tiny tasks with their own data."""

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
from tests.environments.integrations.texts import TEXTS
from tests.helpers.tolerances import UNIT_VECTORS

# From equal meaning to unrelated. A good encoder ranks the pairs in this order.
SCORED_PAIRS = {
    "sentence1": ["A man plays a guitar.", "A man plays a guitar.", "A man plays a guitar.", "A man plays a guitar."],
    "sentence2": ["A man is playing guitar.", "A woman plays the violin.", "A man eats pasta.", "Stocks fell sharply."],
    "score": [5.0, 3.0, 1.5, 0.0],
}


class TinySTS(AbsTaskSTS):
    metadata = TaskMetadata(
        name="TinySTS",
        description="Four pairs with scores.",
        dataset={"path": "none", "revision": "none"},
        type="STS",
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="cosine_spearman",
    )

    def load_data(self, **options: Any) -> None:
        self.dataset = {"test": Dataset.from_dict(SCORED_PAIRS)}
        self.data_loaded = True


def test_encoder_implements_the_protocol_of_mteb() -> None:
    assert isinstance(MinilmJaxEncoder(), EncoderProtocol)


def test_sts_task_ranks_the_pairs_correctly() -> None:
    (result,) = mteb.evaluate(MinilmJaxEncoder(), TinySTS(), cache=None, show_progress_bar=False).task_results
    assert result.get_score() == pytest.approx(1.0)


def test_retrieval_task_embeds_queries_and_documents() -> None:
    (result,) = mteb.evaluate(MinilmJaxEncoder(), MockRetrievalTask(), cache=None, show_progress_bar=False).task_results
    assert 0 < result.get_score() <= 1


def test_vectors_equal_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    batches = [{"text": TEXTS[:2]}, {"text": TEXTS[2:]}]
    vectors = MinilmJaxEncoder().encode(batches, task_metadata=TinySTS.metadata, hf_split="test", hf_subset="default")
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=UNIT_VECTORS)


def test_metadata_differs_by_weights_and_precision(tmp_path: Path) -> None:
    exact, int8 = MinilmJaxEncoder().mteb_model_meta, MinilmJaxEncoder(precision="int8").mteb_model_meta
    assert exact.name == int8.name == "minilm-jax/all-minilm-l6-v2"
    assert exact.revision != int8.revision
    assert (exact.experiment_name, int8.experiment_name) == ("precision_float32", "precision_int8")
    assert (exact.embed_dim, exact.max_tokens) == (384, 256)
