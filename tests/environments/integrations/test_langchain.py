"""LangChain's conformance tests, and what they do not ask."""

import dataclasses
import pickle

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

import minilm_jax as mj
from minilm_jax.integrations.langchain import MinilmJaxEmbeddings
from tests.environments.integrations.texts import TEXTS, TOLERANCE


class TestConformance(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MinilmJaxEmbeddings


class TestConformanceOfTheVectors(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MinilmJaxEmbeddings


class TestConformanceInInt8(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MinilmJaxEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, str]:
        return {"precision": "int8"}


def test_documents_and_queries_are_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    embeddings = MinilmJaxEmbeddings()
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), encoder.encode(TEXTS), atol=TOLERANCE)
    np.testing.assert_allclose([embeddings.embed_query(text) for text in TEXTS], encoder.encode(TEXTS), atol=TOLERANCE)


async def test_the_asynchronous_methods_give_the_same() -> None:
    embeddings = MinilmJaxEmbeddings()
    assert await embeddings.aembed_documents(TEXTS) == embeddings.embed_documents(TEXTS)


def test_no_documents_give_no_vectors() -> None:
    assert MinilmJaxEmbeddings().embed_documents([]) == []


def test_bad_input_is_refused() -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxEmbeddings().embed_documents("one string")
    with pytest.raises(mj.InputError):
        MinilmJaxEmbeddings().embed_query(["a list"])


def test_it_is_its_names() -> None:
    embeddings = MinilmJaxEmbeddings(precision="int8")
    assert pickle.loads(pickle.dumps(embeddings)) == embeddings
    assert dataclasses.asdict(embeddings) == {"model": "all-minilm-l6-v2", "precision": "int8"}
