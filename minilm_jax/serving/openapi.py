"""The OpenAPI document of a server, made from its operations."""

from collections.abc import Sequence
from typing import Any

import msgspec

import minilm_jax
from minilm_jax.serving.operations import Operation

_ERRORS = {
    "400": "The body is not valid JSON, or has no text.",
    "401": "The API key is missing or wrong.",
    "404": "The model or the route is not served.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "422": "A field is wrong.",
    "424": "The computation failed.",
    "429": "Too many tokens are waiting; the header Retry-After states the seconds.",
    "503": "The request took too long.",
}


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document, in version 3.1 of OpenAPI.

    Args:
        operations: The routes.
    """
    types = [kind for each in operations for kind in (each.body, each.answer) if kind not in (None, Any)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "minilm-jax", "version": minilm_jax.__version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    answers = {status: {"description": text} for status, text in _ERRORS.items()}
    schema = schemas.get(str(operation.answer), {})
    found: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}{operation.path.replace('/', '_')}",
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}, **answers},
    }
    if operation.body is not None:
        content = {"schema": schemas[str(operation.body)], "example": operation.example}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found
