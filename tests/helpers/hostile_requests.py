"""Requests that cannot be answered, and the memory of the server that gets them."""

import random
import re

import httpx


def malformed(source: random.Random) -> bytes:
    """Return bytes that are not a request, or a request that cannot be answered."""
    path = source.choice(["/embed", "/v1/embeddings", "/rerank", "/", "/%ff%00", "/" + "a" * source.randrange(9_000)])
    body = source.choice(
        [
            b"{",
            b'{"inputs": ' + b"[" * source.randrange(5_000),
            source.randbytes(source.randrange(2_000)),
            b'{"inputs": "' + source.randbytes(100) + b'"}',
            b'{"inputs": NaN}',
            b'{"inputs": 1e999}',
        ]
    )
    length = source.choice([len(body), len(body) + 50, 0, -1, "x", 10**30, ""])
    head = f"POST {path} HTTP/1.{source.randrange(3)}\r\nHost: a\r\nContent-Length: {length}\r\n".encode()
    garbage = source.choice(
        [b"", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b": \r\n", b"\x00\r\n"]
    )
    request = head + garbage + b"\r\n" + body
    return source.choice(
        [request, request[: source.randrange(len(request) + 1)], source.randbytes(500), request + request, b"\r\n" * 9]
    )


def resident_bytes(client: httpx.Client) -> float:
    """Return the resident memory of the server's process."""
    found = re.search(r"^process_resident_memory_bytes (\S+)", client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])
