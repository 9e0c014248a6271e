"""Shared part of the adapters: one model per name and precision, loaded once, and its errors."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax import shared_encoders as encoders
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from tests.helpers.tolerances import MIN_INT8_COSINE, UNIT_VECTORS


def test_threads_share_one_encoder() -> None:
    encoders._load.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: encoders.shared_encoder(DEFAULT_MODEL, "float32"), range(8)))
    assert len({id(encoder) for encoder in found}) == 1


def test_threads_share_one_cross_encoder(reranker: str) -> None:
    encoders._load.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: encoders.shared_cross_encoder(reranker, "float32"), range(8)))
    assert len({id(model) for model in found}) == 1
    assert isinstance(found[0], mj.CrossEncoder)
    assert encoders.shared_cross_encoder(reranker, "bfloat16").stats.computed_in == "bfloat16"


def test_cross_encoder_and_encoder_of_one_folder_are_separate_models(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="no classifier"):
        encoders.shared_cross_encoder(DEFAULT_MODEL, "float32")
    assert encoders.shared_encoder(DEFAULT_MODEL, "float32").encode("A cat.").shape == (384,)


def test_each_precision_has_its_own_encoder(encoder: mj.SentenceEncoder) -> None:
    exact, int8 = (encoders.embed_texts(["A cat."], DEFAULT_MODEL, precision)[0] for precision in ("float32", "int8"))
    assert MIN_INT8_COSINE < exact @ int8 < 1 - UNIT_VECTORS


def test_embed_texts_of_an_empty_list_has_no_rows(encoder: mj.SentenceEncoder) -> None:
    assert encoders.embed_texts([], DEFAULT_MODEL, "float32").shape == (0, 384)


def test_embedding_size_is_the_size_of_the_vectors(encoder: mj.SentenceEncoder) -> None:
    assert encoders.embedding_size(DEFAULT_MODEL) == len(encoders.embed_query("A cat.", DEFAULT_MODEL, "float32"))


@pytest.mark.parametrize("texts", ["one string", [None], ["fine", 7], [["nested"]], ["half a pair \ud800"]])
def test_embed_texts_rejects_input_other_than_lists_of_texts(texts: list[str]) -> None:
    with pytest.raises(mj.InputError):
        encoders.embed_texts(texts, DEFAULT_MODEL, "float32")


def test_embed_query_rejects_a_list() -> None:
    with pytest.raises(mj.InputError, match="list, not str"):
        encoders.embed_query(["in a list"], DEFAULT_MODEL, "float32")


def test_unknown_model_or_precision_is_reported_at_the_first_text() -> None:
    with pytest.raises(mj.ModelFileError, match="'all-minilm-l6' is not a folder"):
        encoders.embed_query("A cat.", "all-minilm-l6", "float32")
    with pytest.raises(mj.InputError, match="int4"):
        encoders.embed_query("A cat.", DEFAULT_MODEL, "int4")


def test_embed_query_returns_python_floats(encoder: mj.SentenceEncoder) -> None:
    vector = encoders.embed_query("A cat.", DEFAULT_MODEL, "float32")
    assert {type(x) for x in vector} == {float}
    np.testing.assert_allclose(vector, encoder.encode("A cat."), atol=UNIT_VECTORS)


def test_queries_and_documents_are_embedded_with_the_prompts_of_the_model(
    tmp_path: Path, encoder: mj.SentenceEncoder
) -> None:
    for part in model_folder(DEFAULT_MODEL).iterdir():
        (tmp_path / part.name).symlink_to(part)
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    query = encoders.embed_query("A cat.", str(tmp_path), "float32")
    (document,) = encoders.embed_texts(["A cat."], str(tmp_path), "float32", "document")
    (plain,) = encoders.embed_texts(["A cat."], str(tmp_path), "float32")
    expected = encoder.encode(["query: A cat.", "passage: A cat.", "A cat."])
    np.testing.assert_allclose([query, document, plain], expected, atol=UNIT_VECTORS)
