"""LangChain: its conformance tests, and tests of what they do not cover."""

import dataclasses
import inspect
import pickle

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from pydantic import ValidationError

import minilm_jax as mj
from minilm_jax.integrations.langchain import MinilmJaxEmbeddings, MinilmJaxReranker
from tests.environments.integrations.texts import TEXTS
from tests.helpers.tolerances import UNIT_VECTORS


class TestUnitConformance(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MinilmJaxEmbeddings


class TestVectorConformance(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MinilmJaxEmbeddings


class TestInt8Conformance(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MinilmJaxEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, str]:
        return {"precision": "int8"}


def test_vectors_of_documents_and_queries_equal_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    embeddings = MinilmJaxEmbeddings()
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), encoder.encode(TEXTS), atol=UNIT_VECTORS)
    np.testing.assert_allclose(
        [embeddings.embed_query(text) for text in TEXTS], encoder.encode(TEXTS), atol=UNIT_VECTORS
    )


async def test_asynchronous_methods_give_equal_vectors() -> None:
    embeddings = MinilmJaxEmbeddings()
    assert await embeddings.aembed_documents(TEXTS) == embeddings.embed_documents(TEXTS)


def test_empty_list_of_documents_gives_an_empty_list() -> None:
    assert MinilmJaxEmbeddings().embed_documents([]) == []


def test_embeddings_reject_input_of_the_wrong_type() -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxEmbeddings().embed_documents("one string")
    with pytest.raises(mj.InputError):
        MinilmJaxEmbeddings().embed_query(["a list"])


def test_embeddings_are_pickled_by_model_name_and_precision() -> None:
    embeddings = MinilmJaxEmbeddings(precision="int8")
    assert pickle.loads(pickle.dumps(embeddings)) == embeddings
    assert dataclasses.asdict(embeddings) == {"model": "all-minilm-l6-v2", "precision": "int8"}


QUERY = "Who plays music?"
DOCUMENTS = [Document(text, id=str(i), metadata={"row": i}) for i, text in enumerate(TEXTS)]


def test_reranker_keeps_the_best_documents_in_the_order_of_the_cross_encoder(reranker: str) -> None:
    found = MinilmJaxReranker(model=reranker, top_n=2).compress_documents(DOCUMENTS, QUERY)
    expected = mj.CrossEncoder(reranker).rank(QUERY, TEXTS, top_k=2)
    assert [(document.id, document.page_content) for document in found] == [
        (str(hit["corpus_id"]), TEXTS[hit["corpus_id"]]) for hit in expected
    ]
    scores = [document.metadata.pop("relevance_score") for document in found]
    assert {type(score) for score in scores} == {float}
    np.testing.assert_allclose(scores, [hit["score"] for hit in expected], atol=UNIT_VECTORS)
    assert [document.metadata for document in found] == [{"row": hit["corpus_id"]} for hit in expected]


def test_reranker_leaves_the_given_documents_unchanged(reranker: str) -> None:
    MinilmJaxReranker(model=reranker).compress_documents(DOCUMENTS, QUERY)
    assert [document.metadata for document in DOCUMENTS] == [{"row": i} for i in range(len(TEXTS))]


async def test_asynchronous_method_of_the_reranker_gives_equal_documents(reranker: str) -> None:
    compressor = MinilmJaxReranker(model=reranker)
    assert await compressor.acompress_documents(DOCUMENTS, QUERY) == compressor.compress_documents(DOCUMENTS, QUERY)


def test_reranker_keeps_three_documents_by_default_and_all_with_none(reranker: str) -> None:
    assert len(MinilmJaxReranker(model=reranker).compress_documents(DOCUMENTS, QUERY)) == 3
    assert len(MinilmJaxReranker(model=reranker, top_n=None).compress_documents(DOCUMENTS, QUERY)) == len(TEXTS)
    assert MinilmJaxReranker(model=reranker).compress_documents([], QUERY) == []


def test_reranker_rejects_invalid_arguments(three_labels: str) -> None:
    for options in ({"top_n": 0}, {"precision": "int4"}):
        with pytest.raises(ValidationError):
            MinilmJaxReranker.model_validate(options)
    with pytest.raises(mj.InputError, match="3 labels"):
        MinilmJaxReranker(model=three_labels).compress_documents(DOCUMENTS, QUERY)


def test_reranker_is_pickled_by_model_name_and_precision() -> None:
    compressor = MinilmJaxReranker(precision="int8")
    assert pickle.loads(pickle.dumps(compressor)) == compressor
    assert compressor.model == inspect.signature(mj.CrossEncoder).parameters["source"].default
