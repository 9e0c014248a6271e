"""Haystack: the components in pipelines, and the serialization of a pipeline."""

import inspect

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

import minilm_jax as mj
from minilm_jax.integrations.haystack import MinilmJaxDocumentEmbedder, MinilmJaxRanker, MinilmJaxTextEmbedder
from tests.environments.integrations.texts import TEXTS
from tests.helpers.tolerances import UNIT_VECTORS


def test_pipelines_embed_store_and_find_documents() -> None:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    indexing = Pipeline()
    indexing.add_component("embedder", MinilmJaxDocumentEmbedder())
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder.documents", "writer.documents")
    indexing.run({"embedder": {"documents": [Document(content=text) for text in TEXTS[:2]]}})

    querying = Pipeline()
    querying.add_component("embedder", MinilmJaxTextEmbedder())
    querying.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    querying.connect("embedder.embedding", "retriever.query_embedding")
    found = querying.run({"embedder": {"text": "Someone makes music."}})["retriever"]["documents"]
    assert [document.content for document in found] == ["A man is playing guitar."]


def test_vectors_equal_those_of_the_encoder(encoder: mj.SentenceEncoder) -> None:
    documents = [Document(content=text) for text in TEXTS]
    embedded = MinilmJaxDocumentEmbedder().run(documents)["documents"]
    np.testing.assert_allclose([document.embedding for document in embedded], encoder.encode(TEXTS), atol=UNIT_VECTORS)
    assert [document.embedding for document in documents] == [None] * len(TEXTS)
    embedding = MinilmJaxTextEmbedder().run(TEXTS[0])["embedding"]
    assert {type(x) for x in embedding} == {float}
    np.testing.assert_allclose(embedding, encoder.encode(TEXTS[0]), atol=UNIT_VECTORS)


def test_meta_fields_are_embedded_before_the_content(encoder: mj.SentenceEncoder) -> None:
    embedder = MinilmJaxDocumentEmbedder(meta_fields_to_embed=["title", "year", "absent"], embedding_separator=" | ")
    document = Document(content="A cat.", meta={"title": "Pets", "year": 2020})
    (embedded,) = embedder.run([document])["documents"]
    np.testing.assert_allclose(embedded.embedding, encoder.encode("Pets | 2020 | A cat."), atol=UNIT_VECTORS)


def test_empty_list_of_documents_gives_an_empty_list() -> None:
    assert MinilmJaxDocumentEmbedder().run([])["documents"] == []


def test_components_reject_input_of_the_wrong_type() -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxTextEmbedder().run([Document(content="A cat.")])
    with pytest.raises(mj.InputError):
        MinilmJaxDocumentEmbedder().run("A cat.")


def test_serialized_pipeline_is_loaded_unchanged() -> None:
    pipeline = Pipeline()
    pipeline.add_component("text", MinilmJaxTextEmbedder(precision="int8"))
    pipeline.add_component("documents", MinilmJaxDocumentEmbedder("a/folder", meta_fields_to_embed=["title"]))
    pipeline.add_component("ranker", MinilmJaxRanker(top_k=3, meta_fields_to_embed=["title"]))
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["minilm_jax.*"])
    assert loaded.to_dict() == pipeline.to_dict()
    assert loaded.get_component("text").precision == "int8"
    assert loaded.get_component("documents").meta_fields_to_embed == ["title"]
    assert loaded.get_component("ranker").top_k == 3
    assert loaded.get_component("ranker").model == inspect.signature(mj.CrossEncoder).parameters["source"].default


QUERY = "Who plays music?"


def test_ranker_returns_the_best_documents_in_the_order_of_the_cross_encoder(reranker: str) -> None:
    documents = [Document(content=text, score=0.5) for text in TEXTS]
    expected = mj.CrossEncoder(reranker).rank(QUERY, TEXTS)
    for ranker, top_k in ((MinilmJaxRanker(reranker), None), (MinilmJaxRanker(reranker, top_k=1), 3)):
        found = ranker.run(QUERY, documents, top_k)["documents"]
        assert [d.id for d in found] == [documents[hit["corpus_id"]].id for hit in expected[:top_k]]
        np.testing.assert_allclose(
            [d.score for d in found], [hit["score"] for hit in expected[:top_k]], atol=UNIT_VECTORS
        )
    assert len(MinilmJaxRanker(reranker, top_k=1).run(QUERY, documents)["documents"]) == 1
    assert [document.score for document in documents] == [0.5] * len(TEXTS)


def test_ranker_reads_meta_fields_before_the_content(reranker: str) -> None:
    ranker = MinilmJaxRanker(reranker, meta_fields_to_embed=["title", "absent"], embedding_separator=" | ")
    (found,) = ranker.run(QUERY, [Document(content="A cat.", meta={"title": "Pets"})])["documents"]
    assert found.score == pytest.approx(mj.CrossEncoder(reranker).predict((QUERY, "Pets | A cat.")), abs=UNIT_VECTORS)


def test_pipeline_ranks_the_documents_of_a_retriever(reranker: str) -> None:
    store, texts = InMemoryDocumentStore(), [text for text in TEXTS if text]
    documents = MinilmJaxDocumentEmbedder().run([Document(content=text) for text in texts])["documents"]
    store.write_documents(documents)
    pipeline = Pipeline()
    pipeline.add_component("embedder", MinilmJaxTextEmbedder())
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store))
    pipeline.add_component("ranker", MinilmJaxRanker(reranker, top_k=2))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "ranker.documents")
    found = pipeline.run({"embedder": {"text": QUERY}, "ranker": {"query": QUERY}})["ranker"]["documents"]
    expected = mj.CrossEncoder(reranker).rank(QUERY, texts, top_k=2)
    assert [document.content for document in found] == [texts[hit["corpus_id"]] for hit in expected]


def test_ranker_rejects_invalid_arguments(reranker: str, three_labels: str) -> None:
    ranker = MinilmJaxRanker(reranker)
    assert ranker.run(QUERY, [])["documents"] == []
    with pytest.raises(mj.InputError, match="top_k is 0"):
        ranker.run(QUERY, [Document(content="a")], top_k=0)
    with pytest.raises(mj.InputError, match="3 labels"):
        MinilmJaxRanker(three_labels).run(QUERY, [Document(content="a")])
