"""Bad requests get a status and a body in the form of their contract, and harm nobody else."""

import contextlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.helpers.server import KEY

LONG = json.dumps({"inputs": "a " * 300, "truncate": False}).encode()


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("/embed", b"{", 400, "not valid JSON"),
        ("/embed", b"", 400, "not valid JSON"),
        ("/embed", b'{"inputs": NaN}', 400, "not valid JSON"),
        ("/embed", b'{"inputs": ' + b"[" * 90_000, 422, "$.inputs[0]"),
        ("/embed", b'{"x": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400, "not valid JSON"),
        ("/embed", b'{"inputs": "\xff"}', 400, "not valid JSON"),
        ("/embed", b'{"inputs": "\\ud800"}', 400, "not valid JSON"),
        ("/embed", b'{"inputs": null}', 422, "$.inputs"),
        ("/embed", b'{"inputs": ["a", null]}', 422, "$.inputs[1]"),
        ("/embed", b"[]", 422, "wrong field"),
        ("/embed", b"{}", 422, "inputs"),
        ("/embed", b'{"inputs": []}', 400, "inputs is empty"),
        ("/embed", b'{"inputs": ""}', 400, "empty text"),
        ("/embed", b'{"inputs": "a", "prompt_name": "none"}', 422, "none"),
        ("/embed", b'{"inputs": "a", "truncation_direction": "Left"}', 422, "truncation_direction"),
        ("/embed", LONG, 422, "1 of 1 texts have more than 256 tokens"),
        ("/embed", json.dumps({"inputs": ["a"] * 101}).encode(), 422, "101 texts"),
        ("/embed_all", LONG, 422, "more than 256 tokens"),
        ("/embed_sparse", LONG, 422, "more than 40 tokens"),
        ("/rerank", json.dumps({"query": "a", "texts": ["a " * 300], "truncate": False}).encode(), 422, "more than 40"),
        ("/embed", b'{"inputs": "a", "dimensions": 0}', 422, "between 1 and 384"),
        ("/decode", b'{"ids": [99999]}', 422, "outside of the vocabulary"),
        ("/decode", b'{"ids": [-1]}', 422, "outside of the vocabulary"),
        ("/decode", b'{"ids": [1, [2]]}', 422, "ids must be"),
        ("/predict", b'{"inputs": "one text"}', 422, "two texts"),
        ("/v1/embeddings", b"{", 400, "not valid JSON"),
        ("/v1/embeddings", b'{"input": 1}', 400, "$.input"),
        ("/v1/embeddings", b'{"input": []}', 400, "input is empty"),
        ("/v1/embeddings", b'{"input": ["a", 1]}', 400, "mixes texts and token ids"),
        ("/v1/embeddings", b'{"input": [[]]}', 400, "check_embedding_ctx_length"),
        ("/v1/embeddings", b'{"input": [101, 30522, 102]}', 400, "check_embedding_ctx_length"),
        ("/v1/embeddings", b'{"input": [15339, 1917]}', 400, "check_embedding_ctx_length"),
        ("/v1/embeddings", b'{"input": [[101, -5, 102]]}', 400, "token id -5"),
        ("/v1/embeddings", b'{"input": [[101, 99999999999999999999, 102]]}', 400, "input"),
        ("/v1/embeddings", b'{"input": "a", "dimensions": 385}', 400, "between 1 and 384"),
        ("/v1/embeddings", b'{"input": "a", "dimensions": -1}', 400, "between 1 and 384"),
        ("/v1/embeddings", b'{"input": "a", "encoding_format": "hex"}', 400, "encoding_format"),
        ("/v1/embeddings", b'{"input": "a", "model": "gpt-4"}', 404, "gpt-4"),
        ("/v1/rerank", b'{"query": "a", "documents": []}', 400, "documents is empty"),
        ("/v1/rerank", b'{"query": "a", "documents": ["b"], "top_n": 0}', 400, "top_n"),
        ("/v2/rerank", b'{"query": "a", "documents": [1]}', 422, "documents"),
        ("/nothing", b"{}", 404, "/openapi.json"),
        ("/v1/nothing", b"{}", 404, "/openapi.json"),
    ],
)
def test_bad_body(client: httpx.Client, path: str, content: bytes, status: int, message: str) -> None:
    response = client.post(path, content=content)
    assert response.status_code == status, response.text
    assert message in _message(path, response.json())


def _message(path: str, body: Any) -> str:
    if path == "/v2/rerank":
        return body["message"]
    return body["error"]["message"] if path.startswith("/v1/") else body["error"]


def test_wrong_method(client: httpx.Client) -> None:
    assert client.get("/embed").status_code == 405


def test_compressed_body_is_refused(client: httpx.Client) -> None:
    response = client.post("/embed", content=b"x", headers={"content-encoding": "gzip"})
    assert response.status_code == 415


def test_large_body_is_refused_before_it_is_read(client: httpx.Client) -> None:
    url = client.base_url
    with socket.create_connection((url.host, url.port), 30) as connection:
        connection.sendall(b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 413"

    def chunks():
        for _ in range(100):
            yield b"x" * 10_000

    response = client.post("/embed", content=chunks())
    assert response.status_code == 413
    assert "200,000 bytes" in response.json()["error"]


def test_slow_client_is_refused(client: httpx.Client) -> None:
    url = client.base_url
    with socket.create_connection((url.host, url.port), 30) as connection:
        connection.sendall(b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{")
        assert connection.recv(12) == b"HTTP/1.1 408"


def test_key_is_needed(locked: httpx.Client) -> None:
    for path in ("/", "/health", "/ready", "/metrics"):
        assert locked.get(path).status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {KEY}x"}, {"authorization": KEY}):
        refused = locked.post("/v1/embeddings", json={"input": "a"}, headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
        assert locked.get("/openapi.json", headers=headers).status_code == 401
    assert locked.get("/info", headers={"authorization": f"Bearer {KEY}"}).status_code == 200


def test_timeout(locked: httpx.Client) -> None:
    body = {"inputs": ["word " * 250] * 2_000}
    response = locked.post("/embed", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert response.status_code == 503
    assert "too long" in response.json()["error"]


def test_only_configured_origins_are_allowed(client: httpx.Client) -> None:
    for origin, allowed in (("https://a.example", True), ("https://b.example", False)):
        headers = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        }
        response = client.options("/v1/embeddings", headers=headers)
        assert (response.headers.get("access-control-allow-origin") == origin) is allowed
        assert (response.status_code == 200) is allowed


def test_client_that_leaves_harms_nobody(client: httpx.Client) -> None:
    url, body = client.base_url, json.dumps({"inputs": ["some words " * 150] * 100}).encode()
    head = f"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    before = _metric(client, "minilm_jax_cancelled_requests_total")
    with contextlib.ExitStack() as connections:
        for _ in range(3):
            connection = connections.enter_context(socket.create_connection((url.host, url.port), 30))
            connection.sendall(head + body)
        _wait_until(lambda: _metric(client, "te_queue_size") > 0)
    assert client.post("/embed", json={"inputs": "a"}).status_code == 200
    _wait_until(lambda: _metric(client, "minilm_jax_cancelled_requests_total") > before)
    _wait_until(lambda: _metric(client, "te_queue_size") == 0)


def _wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


def _metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
