"""LlamaIndex: vectors of texts and nodes, retrieval from an index, reranking, and serialization."""

import inspect
import pickle

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

import minilm_jax as mj
from minilm_jax.integrations.llama_index import MinilmJaxEmbedding, MinilmJaxRerank
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


QUERY = "Who plays music?"


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, metadata={"row": i}), score=0.5) for i, text in enumerate(TEXTS)]


def test_postprocessor_keeps_the_best_nodes_in_the_order_of_the_cross_encoder(reranker: str) -> None:
    given = nodes()
    found = MinilmJaxRerank(model=reranker, top_n=3).postprocess_nodes(given, query_str=QUERY)
    texts = [node.node.get_content(MetadataMode.EMBED) for node in given]
    expected = mj.CrossEncoder(reranker).rank(QUERY, texts, top_k=3)
    assert [node.node for node in found] == [given[hit["corpus_id"]].node for hit in expected]
    np.testing.assert_allclose([node.score for node in found], [hit["score"] for hit in expected], atol=UNIT_VECTORS)
    assert [node.score for node in given] == [0.5] * len(TEXTS)


async def test_asynchronous_method_of_the_postprocessor_gives_equal_nodes(reranker: str) -> None:
    given, rerank = nodes(), MinilmJaxRerank(model=reranker)
    found = await rerank.apostprocess_nodes(given, QueryBundle(QUERY))
    assert found == rerank.postprocess_nodes(given, QueryBundle(QUERY))
    assert len(found) == 2


def test_query_engine_reranks_the_retrieved_nodes(reranker: str) -> None:
    index = VectorStoreIndex([node.node for node in nodes()], embed_model=MinilmJaxEmbedding())
    rerank = MinilmJaxRerank(model=reranker, top_n=1)
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=4, node_postprocessors=[rerank])
    (source,) = engine.query(QUERY).source_nodes
    (expected,) = rerank.postprocess_nodes(nodes(), query_str=QUERY)
    assert source.text == expected.text


def test_postprocessor_rejects_invalid_arguments(reranker: str, three_labels: str) -> None:
    with pytest.raises(mj.InputError, match="no query"):
        MinilmJaxRerank(model=reranker).postprocess_nodes(nodes())
    with pytest.raises(mj.InputError, match="3 labels"):
        MinilmJaxRerank(model=three_labels).postprocess_nodes(nodes(), query_str=QUERY)
    with pytest.raises(ValueError, match="top_n"):
        MinilmJaxRerank(top_n=0)
    assert MinilmJaxRerank(model=reranker).postprocess_nodes([], query_str=QUERY) == []


def test_postprocessor_is_serialized_by_name_and_precision() -> None:
    rerank = MinilmJaxRerank(precision="int8", top_n=5)
    serialized = rerank.to_dict()
    assert serialized["class_name"] == MinilmJaxRerank.class_name()
    assert MinilmJaxRerank.from_dict(serialized).to_dict() == serialized
    assert pickle.loads(pickle.dumps(rerank)).to_dict() == serialized
    assert rerank.model == inspect.signature(mj.CrossEncoder).parameters["source"].default
