"""The ASGI application of a server."""

import importlib.resources
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from minilm_jax.serving.contracts import openai, reranking, tei
from minilm_jax.serving.endpoint import Endpoint, error_response
from minilm_jax.serving.metrics import Metrics
from minilm_jax.serving.openapi import openapi_document
from minilm_jax.serving.operations import ErrorStyle, Operation, Record
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service

OPERATIONS: tuple[Operation, ...] = (*openai.OPERATIONS, *reranking.OPERATIONS, *tei.OPERATIONS)

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}


def create_app(service: Service, is_ready: Callable[[], bool] = lambda: True) -> Starlette:
    """Create the application.

    Args:
        service: The models and settings.
        is_ready: Whether new requests are welcome, for `/ready`.

    Returns:
        An ASGI application.
    """
    metrics = Metrics(service)
    document = openapi_document(OPERATIONS)

    async def openapi(service: Service, body: None, record: Record) -> Any:
        return document

    async def live(service: Service, body: None, record: Record) -> Any:
        return metrics.live()

    async def ready(request: Request) -> Response:
        return JSONResponse({"ready": is_ready()}, 200 if is_ready() else 503)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics_text(request: Request) -> Response:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    page = importlib.resources.files("minilm_jax.serving").joinpath("page/index.html").read_text("utf-8")

    async def index(request: Request) -> Response:
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    own = (
        Operation("GET", "/openapi.json", "This document", openapi),
        Operation("GET", "/live", "Figures of the last seconds", live),
    )
    endpoints = [
        Route(each.path, Endpoint(each, service, metrics), methods=[each.method]) for each in (*OPERATIONS, *own)
    ]
    open_routes = [("/", index), ("/health", health), ("/ready", ready), ("/metrics", metrics_text)]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=service.settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "traceparent"],
        expose_headers=["retry-after", "server-timing", "metadata"],
    )
    return Starlette(
        routes=[*endpoints, *(Route(path, handler) for path, handler in open_routes)],
        middleware=[cors] if service.settings.cors_origins else [],
        exception_handlers={HTTPException: _not_found},
    )


def _not_found(request: Request, error: Exception) -> Response:
    """Answer unknown paths and methods in the form of their contract."""
    assert isinstance(error, HTTPException)
    style: ErrorStyle = "openai" if request.url.path.startswith("/v1/") else "tei"
    text = f"{request.method} {request.url.path:.100} does not exist; /openapi.json lists the routes."
    return error_response(RequestError(text, error.status_code, "NotFound"), style, error.headers)
