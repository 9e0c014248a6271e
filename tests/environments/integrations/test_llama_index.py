"""LlamaIndex: vectors of texts and nodes, retrieval from an index, and serialization."""

import pickle

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import MetadataMode, TextNode

import minilm_jax as mj
from minilm_jax.integrations.llama_index import MinilmJaxEmbedding
from tests.environments.integrations.texts import TEXTS
from tests.helpers.tolerances import UNIT_VECTORS


def test_vectors_of_texts_and_queries_equal_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    embedding = MinilmJaxEmbedding()
    vectors = embedding.get_text_embedding_batch(TEXTS)
    assert {type(x) for x in vectors[0]} == {float}
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=UNIT_VECTORS)
    np.testing.assert_allclose(embedding.get_text_embedding(TEXTS[0]), vectors[0], atol=UNIT_VECTORS)
    np.testing.assert_allclose(embedding.get_query_embedding(TEXTS[0]), vectors[0], atol=UNIT_VECTORS)


async def test_asynchronous_methods_give_equal_vectors() -> None:
    embedding = MinilmJaxEmbedding()
    assert await embedding.aget_query_embedding(TEXTS[0]) == embedding.get_query_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding(TEXTS[0]) == embedding.get_text_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding_batch(TEXTS) == embedding.get_text_embedding_batch(TEXTS)


def test_index_finds_the_nearest_node() -> None:
    nodes = [TextNode(text=text) for text in TEXTS[:2]]
    retriever = VectorStoreIndex(nodes, embed_model=MinilmJaxEmbedding()).as_retriever(similarity_top_k=1)
    assert retriever.retrieve("Someone makes music.")[0].text == "A man is playing guitar."


def test_embedding_model_is_a_transformation_of_nodes(encoder: mj.SentenceEncoder) -> None:
    (node,) = MinilmJaxEmbedding()([TextNode(text="A cat.", metadata={"title": "Pets"})])
    expected = encoder.encode(node.get_content(MetadataMode.EMBED))
    np.testing.assert_allclose(node.embedding, expected, atol=UNIT_VECTORS)


def test_embedding_model_rejects_invalid_texts_and_precisions() -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxEmbedding().get_text_embedding_batch([None])
    with pytest.raises(ValueError, match="precision"):
        MinilmJaxEmbedding(precision="int4")


def test_embedding_model_is_serialized_by_name_and_precision() -> None:
    embedding = MinilmJaxEmbedding(precision="int8")
    serialized = embedding.to_dict()
    assert serialized["class_name"] == MinilmJaxEmbedding.class_name()
    assert MinilmJaxEmbedding.from_dict(serialized).to_dict() == serialized
    assert pickle.loads(pickle.dumps(embedding)).to_dict() == serialized
