"""Raw connections that break HTTP, are slow, or send garbage: the server answers or closes, and stays up."""

import random
import socket
import time
from collections.abc import Iterable

import httpx
import pytest

from tests.helpers.hostile_requests import malformed, resident_bytes

COUNT = 600
# Resident memory may grow by this much: buffers of the connections, and what the allocator keeps.
GROWTH = 30e6


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), 30)


def received(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection, or a few seconds of silence."""
    found = b""
    while part := connection.recv(65_536):
        found += part
    return found


def test_malformed_requests_leave_the_server_and_its_memory_unchanged(client: httpx.Client) -> None:
    source, before = random.Random(0), 0.0
    for number in range(COUNT):
        if number == COUNT // 2:
            before = resident_bytes(client)
        with connect(client) as connection:
            connection.sendall(malformed(source))
            connection.settimeout(0.001)
            try:
                status = connection.recv(12)
            except (TimeoutError, ConnectionError):
                continue
            assert not status.startswith(b"HTTP/1.1 5"), status
    assert resident_bytes(client) - before < GROWTH
    assert client.post("/embed", json={"inputs": "a text"}).status_code == 200


def send(connection: socket.socket, parts: Iterable[bytes], pause: float = 0.0) -> None:
    for part in parts:
        connection.sendall(part)
        time.sleep(pause)


def test_slow_head_is_closed(client: httpx.Client) -> None:
    with connect(client) as connection:
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            send(connection, [b"POST /embed HTTP/1.1\r\nX-Slow: ", *[b"a"] * 1_000], pause=0.02)
        assert time.monotonic() - started < 10


def test_slow_head_of_a_further_request_is_closed(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(b"GET /health HTTP/1.1\r\nX-")
        started = time.monotonic()
        received(connection)
        assert time.monotonic() - started < 10


def test_large_head_is_closed(client: httpx.Client) -> None:
    with connect(client) as connection, pytest.raises(ConnectionError):
        send(connection, [b"GET /health HTTP/1.1\r\n", *[b"X-Large: " + b"a" * 10_000 + b"\r\n"] * 2_000])


def test_requests_with_many_small_headers_and_long_connections_work(client: httpx.Client) -> None:
    headers = {f"x-header-{number}": "a" * 100 for number in range(90)}
    for _ in range(3):
        assert client.get("/health", headers=headers).status_code == 200


def test_large_body_after_a_small_head_is_not_counted_as_head(client: httpx.Client) -> None:
    response = client.post("/embed", json={"inputs": "word " * 30_000})
    assert response.status_code == 200
