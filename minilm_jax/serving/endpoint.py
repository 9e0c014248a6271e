"""`Endpoint`: runs an operation as an ASGI application, within the limits of the server."""

import asyncio
import contextlib
import hmac
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from minilm_jax.errors import OverloadedError
from minilm_jax.serving.access_log import log_request
from minilm_jax.serving.metrics import Metrics
from minilm_jax.serving.operations import ErrorStyle, Operation, Raw, Record
from minilm_jax.serving.request_errors import RequestError, as_request_error
from minilm_jax.serving.service import Service

_log = logging.getLogger("minilm_jax.serving")

# nginx logs this status if the client closed the connection; it is never sent.
_CLIENT_IS_GONE = 499

_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 424: "server_error"}


class Endpoint:
    """A route."""

    def __init__(self, operation: Operation, service: Service, metrics: Metrics) -> None:
        """Combine an operation with the models.

        Args:
            operation: The operation.
            service: The models and settings.
            metrics: Counts the requests.
        """
        self._operation, self._service, self._metrics = operation, service, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        start, request, record = time.monotonic(), Request(scope, receive, send), Record()
        try:
            response = await self._respond(request, record)
        except ClientDisconnect:
            response = Response(status_code=_CLIENT_IS_GONE)
        seconds = time.monotonic() - start
        path = self._operation.path
        self._metrics.observe(path, request.method, response.status_code, seconds, record)
        log_request(request, path, response.status_code, seconds, record)
        if response.status_code != _CLIENT_IS_GONE:
            await response(scope, receive, send)

    async def _respond(self, request: Request, record: Record) -> Response:
        try:
            self._check_key(request)
            body = self._decoded(await self._content(request))
            async with asyncio.timeout(self._service.settings.request_timeout):
                answer = await _unless_gone(request, self._operation.handle(self._service, body, record))
            return _success(answer, record)
        except ClientDisconnect:
            raise
        except Exception as error:  # Any error of a handler gets a status and a body.
            return self._failure(error)

    def _failure(self, error: Exception) -> Response:
        failed = as_request_error(error)
        if failed.kind == "Backend" and failed is not error:
            _log.error("the computation failed", exc_info=error)
        self._metrics.fail(failed)
        retry = {"Retry-After": str(math.ceil(error.retry_after))} if isinstance(error, OverloadedError) else {}
        return error_response(failed, self._operation.errors, retry)

    def _check_key(self, request: Request) -> None:
        keys = self._service.settings.api_keys
        given = request.headers.get("authorization", "").partition(" ")[2].strip().encode()
        # All keys are compared, in constant time, so that the time shows nothing.
        if keys and not any([hmac.compare_digest(given, key.encode()) for key in keys]):
            raise RequestError("send the header `Authorization: Bearer KEY` with a valid API key.", 401, "Unauthorized")

    async def _content(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._service.settings.read_timeout):
                return await self._read(request)
        except TimeoutError:
            raise RequestError("the body did not arrive in time; send it faster.", 408) from None

    async def _read(self, request: Request) -> bytes:
        most = self._service.settings.max_body_bytes
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError("compressed bodies are not accepted; send plain JSON.", 415)
        length = request.headers.get("content-length", "0")
        chunks, size = [], int(length) if length.isdecimal() else 0
        if size <= most:
            size = 0
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > most:
                    break
        if size > most:
            raise RequestError(f"the body has more than {most:,} bytes; send fewer texts per request.", 413)
        return b"".join(chunks)

    def _decoded(self, content: bytes) -> Any:
        if self._operation.body is None:
            return None
        try:
            return msgspec.json.decode(content, type=self._operation.body)
        except msgspec.ValidationError as error:
            raise RequestError(f"the body has a wrong field: {error}.", 422) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"the body is not valid JSON: {error!s:.200}.", 400) from None


def error_response(error: RequestError, style: ErrorStyle, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response for an error, in the form that the clients of a contract expect."""
    message, status = str(error), error.status
    body: Any = {"error": message, "error_type": error.kind}
    if style == "openai":
        status = 400 if status == 422 else status
        kind = _OPENAI_TYPES.get(status, "invalid_request_error")
        body = {"error": {"message": message, "type": kind, "param": error.param, "code": status}}
    elif style == "cohere":
        body = {"message": message}
    extra = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(msgspec.json.encode(body), status, {**extra, **(headers or {})}, "application/json")


def _success(answer: Any, record: Record) -> Response:
    if isinstance(answer, Raw):
        response = Response(answer.content, 200, dict(answer.headers), answer.media_type)
    else:
        response = Response(msgspec.json.encode(answer), 200, None, "application/json")
    if record.answers:
        names = ("tokenize", "queue", "compute")
        times = map(sum, zip(*[each[2:] for each in record.answers], strict=True))
        timing = ", ".join(f"{name};dur={1_000 * value:.2f}" for name, value in zip(names, times, strict=True))
        response.headers["Server-Timing"] = timing
    return response


async def _unless_gone(request: Request, handling: Awaitable[Any]) -> Any:
    """Return the result of a handler; cancel it if the client goes away."""
    task, gone = asyncio.ensure_future(handling), asyncio.ensure_future(_disconnect(request.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for each in (task, gone):
            each.cancel()
        if not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _disconnect(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
