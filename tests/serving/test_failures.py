"""A full queue and a failing device, seen by clients: status, body, headers and metrics."""

import asyncio
import threading
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from minilm_jax.serving.app import create_app
from minilm_jax.serving.service import Service
from minilm_jax.serving.settings import ServerSettings

FAILING = "this text fails"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    found = Service(ServerSettings(max_waiting_tokens=60))
    yield found
    found.close()


@pytest.fixture
def blocked(service: Service, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make computations wait for an event, and fail for one text."""
    encoder, event = service.need_encoder(), threading.Event()
    failing, compute = encoder.token_ids([FAILING]).ids, encoder.compute

    def wait(tokens):
        event.wait(30)
        if any(np.array_equal(tokens.of(np.array([row])), failing) for row in range(len(tokens.lengths))):
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory on the device")
        return compute(tokens)

    model = service._by_kind[type(encoder)]
    monkeypatch.setattr(model, "_computation", model._computation._replace(compute=wait))
    return event


def client(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(service)), base_url="http://server")


def test_full_queue_is_429_with_retry_after(service: Service, blocked: threading.Event) -> None:
    async def run() -> list[httpx.Response]:
        async with client(service) as http:
            body = {"input": "a text of about ten tokens for the queue"}
            calls = [asyncio.ensure_future(http.post("/v1/embeddings", json=body)) for _ in range(30)]
            await asyncio.sleep(0.5)
            blocked.set()
            return await asyncio.gather(*calls)

    found = asyncio.run(run())
    assert {response.status_code for response in found} == {200, 429}
    refused = next(response for response in found if response.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == 429
    assert "try again" in refused.json()["error"]["message"]


def test_failing_device_call_fails_only_its_batch(service: Service, blocked: threading.Event) -> None:
    blocked.set()

    async def run() -> tuple[httpx.Response, httpx.Response, str]:
        async with client(service) as http:
            failed = await http.post("/embed", json={"inputs": FAILING})
            worked = await http.post("/embed", json={"inputs": "another text"})
            return failed, worked, (await http.get("/metrics")).text

    failed, worked, metrics = asyncio.run(run())
    assert failed.status_code in (424, 500)
    assert "RESOURCE_EXHAUSTED" not in failed.text
    assert failed.json()["error"]
    assert worked.status_code == 200
    assert [line for line in metrics.splitlines() if line.startswith("te_request_failure{") and line.endswith(" 1.0")]
