"""What all adapters share: one encoder a model, loaded once, and errors that are ours."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax import shared_encoders as encoders
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from tests.environments.integrations.texts import TOLERANCE


def test_many_threads_load_one_encoder() -> None:
    encoders._loaded.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: encoders.shared_encoder(DEFAULT_MODEL, "float32"), range(8)))
    assert len({id(encoder) for encoder in found}) == 1


def test_a_precision_is_an_encoder_of_its_own(encoder: mj.SentenceEncoder) -> None:
    exact, rounded = (
        encoders.embed_texts(["A cat."], DEFAULT_MODEL, precision)[0] for precision in ("float32", "int8")
    )
    assert 0.99 < exact @ rounded < 1 - 1e-6


def test_no_texts_give_no_rows(encoder: mj.SentenceEncoder) -> None:
    assert encoders.embed_texts([], DEFAULT_MODEL, "float32").shape == (0, 384)


def test_the_size_is_that_of_the_vectors(encoder: mj.SentenceEncoder) -> None:
    assert encoders.embedding_size(DEFAULT_MODEL) == len(encoders.embed_query("A cat.", DEFAULT_MODEL, "float32"))


@pytest.mark.parametrize("texts", ["one string", [None], ["fine", 7], [["nested"]], ["half a pair \ud800"]])
def test_what_is_no_list_of_texts_is_refused(texts: list[str]) -> None:
    with pytest.raises(mj.InputError):
        encoders.embed_texts(texts, DEFAULT_MODEL, "float32")


def test_one_query_must_be_a_text() -> None:
    with pytest.raises(mj.InputError, match="list, not str"):
        encoders.embed_query(["in a list"], DEFAULT_MODEL, "float32")


def test_what_cannot_be_loaded_is_said_at_the_first_text() -> None:
    with pytest.raises(mj.ModelFileError, match="all-minilm-l6-v2"):
        encoders.embed_query("A cat.", "all-minilm-l6", "float32")
    with pytest.raises(mj.InputError, match="int4"):
        encoders.embed_query("A cat.", DEFAULT_MODEL, "int4")


def test_one_query_is_plain_floats(encoder: mj.SentenceEncoder) -> None:
    vector = encoders.embed_query("A cat.", DEFAULT_MODEL, "float32")
    assert {type(x) for x in vector} == {float}
    np.testing.assert_allclose(vector, encoder.encode("A cat."), atol=TOLERANCE)


def test_queries_and_documents_get_the_prompts_of_the_model(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    for part in model_folder(DEFAULT_MODEL).iterdir():
        (tmp_path / part.name).symlink_to(part)
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    query = encoders.embed_query("A cat.", str(tmp_path), "float32")
    (document,) = encoders.embed_texts(["A cat."], str(tmp_path), "float32", "document")
    (plain,) = encoders.embed_texts(["A cat."], str(tmp_path), "float32")
    expected = encoder.encode(["query: A cat.", "passage: A cat.", "A cat."])
    np.testing.assert_allclose([query, document, plain], expected, atol=TOLERANCE)
