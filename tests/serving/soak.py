"""`python -m tests.serving.soak`: minutes of mixed requests, and malformed ones; memory stays flat, nothing fails."""

import argparse
import contextlib
import random
import socket
import threading
import time
from collections import Counter

import click
import httpx

from tests.helpers.hostile_requests import malformed, resident_bytes
from tests.helpers.server import serving

CLIENTS = 8
# After this part of the time, the server has compiled the faster programs, which it does after 262,144 tokens, and all
# buffers exist. From then on, memory may grow by this share.
WARM_UP = 0.6
GROWTH = 0.05
WORDS = "the cat sat near a river while trains passed and rain fell on the old town".split()


def text(source: random.Random) -> str:
    return " ".join(source.choices(WORDS, k=source.choice([3, 12, 12, 40, 300])))


def request(source: random.Random) -> tuple[str, dict]:
    """Return a route and a body."""
    texts = [text(source) for _ in range(source.choice([1, 1, 1, 4, 40]))]
    return source.choice(
        [
            ("/v1/embeddings", {"input": texts}),
            ("/v1/embeddings", {"input": texts, "encoding_format": "base64", "dimensions": 64}),
            ("/embed", {"inputs": texts}),
            ("/embed_all", {"inputs": texts[:2]}),
            ("/similarity", {"inputs": {"source_sentence": texts[0], "sentences": texts}}),
            ("/tokenize", {"inputs": texts}),
        ]
    )


def leave(address: str, source: random.Random) -> None:
    """Send a request and close the connection before the answer."""
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port), 30) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n" + b'{"inputs": "' + b"a" * 16
        )
        connection.sendall(b'"}')
        time.sleep(source.random() / 50)


def client(address: str, seed: int, end: float, statuses: Counter) -> None:
    source = random.Random(seed)
    with httpx.Client(base_url=address, timeout=60) as http:
        while time.monotonic() < end:
            if source.random() < 0.05:
                leave(address, source)
            path, body = request(source)
            statuses[http.post(path, json=body).status_code] += 1


def soak(address: str, minutes: float) -> None:
    """Send mixed requests from several clients."""
    started, statuses = time.monotonic(), Counter()
    end = started + 60 * minutes
    threads = [threading.Thread(target=client, args=(address, seed, end, statuses)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    memory = []
    with httpx.Client(base_url=address, timeout=60) as http:
        while time.monotonic() < end:
            time.sleep(3 * minutes)  # Twenty samples.
            memory.append(resident_bytes(http))
        for thread in threads:
            thread.join()
        after = resident_bytes(http)
    click.echo("memory in MB: " + ", ".join(f"{each / 1e6:.0f}" for each in memory))
    before = memory[int(WARM_UP * len(memory))]
    click.echo(f"{statuses.total():,} requests in {minutes:g} minutes, by status: {dict(statuses)}")
    report("mixed requests", before, after)
    assert set(statuses) == {200}, statuses


def attack(address: str, count: int) -> None:
    """Send malformed requests."""
    source, statuses, before, url = random.Random(0), Counter(), 0.0, httpx.URL(address)
    with httpx.Client(base_url=address, timeout=60) as http:
        for number in range(count):
            if number == int(WARM_UP * count):
                before = resident_bytes(http)
            with socket.create_connection((url.host, url.port), 30) as connection:
                connection.sendall(malformed(source))
                connection.settimeout(0.002)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    statuses[connection.recv(12).decode("latin-1")] += 1
        assert http.post("/embed", json={"inputs": "a text"}).status_code == 200
        after = resident_bytes(http)
    click.echo(f"{count:,} malformed requests, by answer: {dict(statuses)}")
    report("malformed requests", before, after)
    assert not [status for status in statuses if status.startswith("HTTP/1.1 5")], statuses


def report(name: str, before: float, after: float) -> None:
    click.echo(f"memory after {name}: {after / 1e6:,.0f} MB, before {before / 1e6:,.0f} MB")
    assert after <= before * (1 + GROWTH), f"memory grew by {after / before - 1:.1%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.serving.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="duration of the mixed requests (default: 10)")
    parser.add_argument("--malformed", type=int, default=10_000, help="number of malformed requests (default: 10000)")
    arguments = parser.parse_args()
    with serving() as server:
        attack(server, arguments.malformed)
        soak(server, arguments.minutes)
