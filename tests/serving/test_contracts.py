"""Each route returns what the Python classes return, in the form of its contract."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.serving.app import OPERATIONS
from tests.helpers.tolerances import UNIT_VECTORS

TEXTS = ["A cat sleeps.", "A kitten naps.", "Stocks fell. " * 200]
pytestmark = pytest.mark.filterwarnings(r"ignore:1 of 3 \w+ are longer")
HIDDEN_STATES = 1e-5  # Values of about 1, after float32 products in another order.


def embeddings(client: httpx.Client, **body: object) -> dict:
    response = client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_openai_vectors_are_those_of_encode(client: httpx.Client, encoder: mj.SentenceEncoder) -> None:
    found = embeddings(client, input=TEXTS, model="all-minilm-l6-v2", user="someone")
    vectors = [entry["embedding"] for entry in found["data"]]
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), rtol=0, atol=UNIT_VECTORS)
    assert [entry["index"] for entry in found["data"]] == [0, 1, 2]
    tokens = int(encoder.token_ids(TEXTS).lengths.sum())
    assert found["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert found["object"] == "list"


def test_one_text_and_token_ids(client: httpx.Client, encoder: mj.SentenceEncoder) -> None:
    expected = encoder.encode(TEXTS)
    one = embeddings(client, input=TEXTS[0])["data"][0]["embedding"]
    ids = [encoder.token_ids([text]).ids.tolist() for text in TEXTS]
    single = embeddings(client, input=ids[0])["data"]
    several = [entry["embedding"] for entry in embeddings(client, input=ids)["data"]]
    np.testing.assert_allclose([one, single[0]["embedding"]], expected[[0, 0]], rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(several, expected, rtol=0, atol=UNIT_VECTORS)
    assert len(single) == 1


def test_encodings_and_dimensions(client: httpx.Client, encoder: mj.SentenceEncoder) -> None:
    expected = encoder.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)
    coded = embeddings(client, input=TEXTS, dimensions=64, encoding_format="base64")["data"]
    vectors = [np.frombuffer(base64.b64decode(entry["embedding"]), "<f4") for entry in coded]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=UNIT_VECTORS)
    body = {"input": TEXTS, "dimensions": 64, "encoding_format": "bytes", "endianness": "big"}
    raw = client.post("/v1/embeddings", json=body)
    entries = json.loads(raw.headers["metadata"])["data"]
    vectors = [np.frombuffer(raw.content[entry["start"] : entry["end"]], ">f4") for entry in entries]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=UNIT_VECTORS)
    assert raw.headers["content-type"] == "application/octet-stream"


def test_vectors_do_not_depend_on_other_clients(client: httpx.Client, encoder: mj.SentenceEncoder) -> None:
    texts = [f"{'word ' * (index % 13)}number {index}" for index in range(60)]
    with ThreadPoolExecutor(16) as pool:
        long = pool.submit(embeddings, client, input=texts + texts[:40])
        found = list(pool.map(lambda text: embeddings(client, input=text)["data"][0]["embedding"], texts))
    expected = encoder.encode(texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=UNIT_VECTORS)
    listed = [entry["embedding"] for entry in long.result()["data"]]
    np.testing.assert_allclose(listed, np.vstack([expected, expected[:40]]), rtol=0, atol=UNIT_VECTORS)


def test_tei_vectors(client: httpx.Client, encoder: mj.SentenceEncoder) -> None:
    vectors = client.post("/embed", json={"inputs": TEXTS, "dimensions": 10}).json()
    expected = encoder.encode(TEXTS, truncate_dim=10, normalize_embeddings=True)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=UNIT_VECTORS)
    tokens = client.post("/embed_all", json={"inputs": TEXTS[:2]}).json()
    for found, states in zip(tokens, encoder.encode(TEXTS[:2], output_value="token_embeddings"), strict=True):
        np.testing.assert_allclose(found, states, rtol=0, atol=HIDDEN_STATES)
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    similarities = client.post("/similarity", json=body).json()
    expected = np.asarray(encoder.similarity(encoder.encode(TEXTS[:1]), encoder.encode(TEXTS[1:])))[0]
    np.testing.assert_allclose(similarities, expected, rtol=0, atol=UNIT_VECTORS)


def test_tokens_go_back_to_texts(client: httpx.Client) -> None:
    (tokens,) = client.post("/tokenize", json={"inputs": "Unbelievable 😀 cats"}).json()
    assert (tokens[0]["text"], tokens[0]["start"]) == ("[CLS]", None)
    text = "Unbelievable 😀 cats"
    assert [text[token["start"] : token["stop"]] for token in tokens if not token["special"]][-1] == "cats"
    (decoded,) = client.post("/decode", json={"ids": [token["id"] for token in tokens]}).json()
    assert decoded.startswith("unbelievable")
    assert decoded.endswith("cats")


def test_reranking_routes_agree_with_rank(client: httpx.Client, reranker: mj.CrossEncoder) -> None:
    expected = reranker.rank("a pet", TEXTS)
    order = [hit["corpus_id"] for hit in expected]
    tei = client.post("/rerank", json={"query": "a pet", "texts": TEXTS, "return_text": True}).json()
    assert [hit["index"] for hit in tei] == order
    assert tei[0]["text"] == TEXTS[order[0]]
    np.testing.assert_allclose([hit["score"] for hit in tei], [hit["score"] for hit in expected], rtol=0, atol=1e-6)
    jina = client.post("/v1/rerank", json={"query": "a pet", "documents": [{"text": t} for t in TEXTS]}).json()
    assert [hit["index"] for hit in jina["results"]] == order
    assert jina["results"][0]["document"] == {"text": TEXTS[order[0]]}
    cohere = client.post("/v2/rerank", json={"query": "a pet", "documents": TEXTS, "top_n": 1}).json()
    assert [hit["index"] for hit in cohere["results"]] == order[:1]
    assert "document" not in cohere["results"][0]
    (prediction,) = client.post("/predict", json={"inputs": ["a pet", TEXTS[0]]}).json()
    assert prediction["label"] == "LABEL_0"
    np.testing.assert_allclose(prediction["score"], reranker.predict(("a pet", TEXTS[0])), rtol=0, atol=1e-6)


def test_sparse_vectors(client: httpx.Client, sparse: mj.SparseEncoder) -> None:
    found = client.post("/embed_sparse", json={"inputs": TEXTS}).json()
    expected = sparse.encode(TEXTS)
    for row, entries in enumerate(found):
        dense = np.zeros(expected.shape[1], np.float32)
        dense[[entry["index"] for entry in entries]] = [entry["value"] for entry in entries]
        np.testing.assert_allclose(dense, expected[[row]].toarray()[0], rtol=0, atol=1e-6)


def test_words_explain_a_similarity(client: httpx.Client) -> None:
    found = client.post("/explain", json={"first": "A cat sleeps.", "second": "A kitten naps."}).json()
    assert [word["word"] for word in found["first"]] == ["A", "cat", "sleeps", "."]
    assert 0.3 < found["similarity"] < 1


def test_every_example_of_the_document_works(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert {each.path for each in OPERATIONS} == {*document["paths"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            response = client.request(method.upper(), path, json=body)
            assert response.status_code == 200, (path, response.text)


def test_models_and_information(client: httpx.Client) -> None:
    names = [entry["id"] for entry in client.get("/v1/models").json()["data"]]
    assert names[0] == "all-minilm-l6-v2"
    assert len(names) == 3
    found = client.get("/info").json()
    assert (found["max_input_length"], found["dimensions"]) == (256, 384)
    assert found["reranker"].endswith("reranker")


def test_empty_prompt_and_unknown_prompt_of_tokenize(client: httpx.Client) -> None:
    assert client.post("/tokenize", json={"inputs": "a", "prompt_name": "query"}).status_code == 200
    assert client.post("/tokenize", json={"inputs": "a", "prompt_name": "none"}).status_code == 422


def test_each_route_answers_for_its_own_model_only(client: httpx.Client) -> None:
    _, reranker, _ = [entry["id"] for entry in client.get("/v1/models").json()["data"]]
    assert client.post("/v1/embeddings", json={"input": "a", "model": reranker}).status_code == 404
    body = {"query": "a", "documents": ["b"]}
    assert client.post("/v1/rerank", json={**body, "model": reranker}).status_code == 200
    assert client.post("/v2/rerank", json={**body, "model": "all-minilm-l6-v2"}).status_code == 404


def test_metrics_count_requests_and_batches(client: httpx.Client) -> None:
    embeddings(client, input="a")
    text = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['te_request_success{method="single"}']) >= 1
    assert float(values["minilm_jax_batches_total"]) >= 1
    assert 'http_request_duration_seconds_count{handler="/v1/embeddings",method="POST",status="200"}' in values
    # Every program is made before the server is ready.
    assert float(values["minilm_jax_compilations_total"]) <= 3 * 8
    assert client.get("/live").json()["p50_ms"] > 0
