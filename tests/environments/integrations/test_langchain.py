"""LangChain: its conformance tests, and tests of what they do not cover."""

import dataclasses
import pickle

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

import minilm_jax as mj
from minilm_jax.integrations.langchain import MinilmJaxEmbeddings
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
