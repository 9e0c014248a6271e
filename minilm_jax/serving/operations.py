"""`Operation`: a route of the server, which the application, its OpenAPI document and its tests read."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from minilm_jax.serving.async_model import Answer
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service

ErrorStyle = Literal["openai", "tei", "cohere"]


@dataclasses.dataclass
class Record:
    """Data of a request for its log line and the metrics.

    Attributes:
        texts: Number of its texts.
        answers: Times and tokens of its computations.
    """

    texts: int = 0
    answers: list[Answer] = dataclasses.field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of all texts, after truncation."""
        return sum(answer.tokens for answer in self.answers)

    def add(self, answer: Answer) -> list[Any]:
        """Count a computation; return its results."""
        self.answers.append(answer)
        return answer.results


@dataclasses.dataclass(frozen=True)
class Raw:
    """A body that is sent as it is.

    Attributes:
        content: The bytes.
        media_type: Their type.
        headers: Further headers.
    """

    content: bytes
    media_type: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Operation:
    """A route.

    Attributes:
        method: The HTTP method.
        path: The path.
        summary: One line for the OpenAPI document.
        handle: Returns the value to send as JSON, or `Raw`.
        body: The type of the request's body, or None for GET.
        answer: The type of the response's body.
        example: A body that works with every model of the right kind.
        errors: The form of error bodies.
    """

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handle: Callable[[Service, Any, Record], Awaitable[Any]]
    body: Any = None
    answer: Any = Any
    example: Any = None
    errors: ErrorStyle = "tei"


def checked_inputs(service: Service, texts: Sequence[Any], name: str = "inputs") -> list[Any]:
    """Return texts, unless there is none or too many.

    Args:
        service: The models and settings.
        texts: The texts.
        name: The name of the field.

    Raises:
        RequestError: The list is empty or too long.
    """
    most = service.settings.max_inputs
    if not texts:
        raise RequestError(f"{name} is empty; send at least one text.", 400, "Empty", name)
    if len(texts) > most:
        raise RequestError(
            f"{name} has {len(texts):,} texts, and the server takes {most:,} per request; send several requests.",
            422,
            "Validation",
            name,
        )
    return list(texts)
