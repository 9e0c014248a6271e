"""Haystack: both components in pipelines, and the serialization of a pipeline."""

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

import minilm_jax as mj
from minilm_jax.integrations.haystack import MinilmJaxDocumentEmbedder, MinilmJaxTextEmbedder
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
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["minilm_jax.*"])
    assert loaded.to_dict() == pipeline.to_dict()
    assert loaded.get_component("text").precision == "int8"
    assert loaded.get_component("documents").meta_fields_to_embed == ["title"]
