"""The log of a server: one line per request, without texts and keys."""

import logging
import re
import sys
import time
from typing import Any

import msgspec
from starlette.requests import Request

from minilm_jax.serving.operations import Record

_log = logging.getLogger("minilm_jax.serving")

# W3C Trace Context: version, trace id, parent id and flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def log_request(request: Request, path: str, status: int, seconds: float, record: Record) -> None:
    """Write the line of a request."""
    fields: dict[str, Any] = {"method": request.method, "path": path, "status": status, "ms": round(1_000 * seconds, 2)}
    if record.texts:
        fields |= {"texts": record.texts, "tokens": record.tokens}
    trace = request.headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(trace):
        fields["traceparent"] = trace
    _log.info(" ".join(f"{name}={value}" for name, value in fields.items()), extra={"fields": fields})


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None) or {"message": record.getMessage()}
        if record.exc_info:
            fields = {**fields, "error": self.formatException(record.exc_info)}
        entry = {"time": record.created, "level": record.levelname.lower(), **fields}
        return msgspec.json.encode(entry).decode()


def set_up_logging(*, as_json: bool) -> None:
    """Write log lines of the server and of uvicorn to stderr.

    Args:
        as_json: Whether each line is a JSON object.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    text.converter = time.gmtime
    handler.setFormatter(_JsonFormatter() if as_json else text)
    for name, level in (("minilm_jax.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
