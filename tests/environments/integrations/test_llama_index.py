"""LlamaIndex: embedding one and many, in an index, and written down."""

import pickle

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import MetadataMode, TextNode

import minilm_jax as mj
from minilm_jax.integrations.llama_index import MinilmJaxEmbedding
from tests.environments.integrations.texts import TEXTS, TOLERANCE


def test_texts_and_queries_are_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    embedding = MinilmJaxEmbedding()
    vectors = embedding.get_text_embedding_batch(TEXTS)
    assert {type(x) for x in vectors[0]} == {float}
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=TOLERANCE)
    np.testing.assert_allclose(embedding.get_text_embedding(TEXTS[0]), vectors[0], atol=TOLERANCE)
    np.testing.assert_allclose(embedding.get_query_embedding(TEXTS[0]), vectors[0], atol=TOLERANCE)


async def test_the_asynchronous_methods_give_the_same() -> None:
    embedding = MinilmJaxEmbedding()
    assert await embedding.aget_query_embedding(TEXTS[0]) == embedding.get_query_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding(TEXTS[0]) == embedding.get_text_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding_batch(TEXTS) == embedding.get_text_embedding_batch(TEXTS)


def test_nodes_are_found_in_an_index() -> None:
    nodes = [TextNode(text=text) for text in TEXTS[:2]]
    retriever = VectorStoreIndex(nodes, embed_model=MinilmJaxEmbedding()).as_retriever(similarity_top_k=1)
    assert retriever.retrieve("Someone makes music.")[0].text == "A man is playing guitar."


def test_it_is_a_transformation_of_nodes(encoder: mj.SentenceEncoder) -> None:
    (node,) = MinilmJaxEmbedding()([TextNode(text="A cat.", metadata={"title": "Pets"})])
    expected = encoder.encode(node.get_content(MetadataMode.EMBED))
    np.testing.assert_allclose(node.embedding, expected, atol=TOLERANCE)


def test_bad_input_is_refused() -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxEmbedding().get_text_embedding_batch([None])
    with pytest.raises(ValueError, match="precision"):
        MinilmJaxEmbedding(precision="int4")


def test_it_is_its_names() -> None:
    embedding = MinilmJaxEmbedding(precision="int8")
    written = embedding.to_dict()
    assert written["class_name"] == MinilmJaxEmbedding.class_name()
    assert MinilmJaxEmbedding.from_dict(written).to_dict() == written
    assert pickle.loads(pickle.dumps(embedding)).to_dict() == written
