"""`/v1/rerank` of Jina and `/v2/rerank` of Cohere."""

import uuid
from typing import Any, Literal

import msgspec
import numpy as np

from minilm_jax.score_activations import as_activation
from minilm_jax.serving.contracts.openai import Usage, check_model
from minilm_jax.serving.operations import Operation, Record, checked_inputs
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service


class Document(msgspec.Struct):
    """A document."""

    text: str


class RerankBody(msgspec.Struct):
    """A request to sort documents."""

    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool | None = None


class RerankResult(msgspec.Struct, omit_defaults=True):
    """A document in the result."""

    index: int
    relevance_score: float
    document: Document | None = None


class JinaAnswer(msgspec.Struct):
    """The documents in the order of their scores."""

    model: str
    usage: Usage
    results: list[RerankResult]
    object: Literal["list"] = "list"


class CohereAnswer(msgspec.Struct):
    """The documents in the order of their scores."""

    id: str
    results: list[RerankResult]
    meta: dict[str, Any]


async def scores(
    service: Service, query: str, texts: list[str], record: Record, *, raw: bool = False, **options: Any
) -> list[float]:
    """Compute the scores of texts for a query: logits, or their sigmoid.

    Args:
        service: The models and settings.
        query: The query.
        texts: The texts.
        record: The record of the request.
        raw: Whether to return logits.
        **options: Those of `Service.logits`.

    Raises:
        RequestError: The server has no cross-encoder, or it has several labels.
    """
    record.texts, labels = len(texts), service.need_reranker().num_labels
    if labels != 1:
        raise RequestError(f"the model has {labels} labels, and reranking needs one; use /predict.", 424, "Backend")
    logits = np.stack(record.add(await service.logits([(query, text) for text in texts], **options)))
    found = logits if raw else np.asarray(as_activation("sigmoid")(logits))
    if not np.isfinite(found).all():
        raise RequestError("the model returned scores that are not numbers.", 424, "Backend")
    return found[:, 0].tolist()


def best_first(scores: list[float]) -> list[int]:
    """Return the indices of scores, the largest first; equal scores stay in their order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])


async def _ranked(service: Service, body: RerankBody, record: Record, *, echo: bool) -> list[RerankResult]:
    texts = [
        each if isinstance(each, str) else each.text for each in checked_inputs(service, body.documents, "documents")
    ]
    if body.top_n is not None and body.top_n < 1:
        raise RequestError(f"top_n is {body.top_n}; it must be at least 1.", param="top_n")
    found = await scores(service, body.query, texts, record)
    best = best_first(found)[: body.top_n]
    return [RerankResult(index, found[index], Document(texts[index]) if echo else None) for index in best]


async def jina(service: Service, body: RerankBody, record: Record) -> JinaAnswer:
    """Sort documents, with the answer of Jina."""
    name = check_model(service, body.model, service.need_reranker())
    results = await _ranked(service, body, record, echo=body.return_documents is not False)
    return JinaAnswer(name, Usage(record.tokens, record.tokens), results)


async def cohere(service: Service, body: RerankBody, record: Record) -> CohereAnswer:
    """Sort documents, with the answer of Cohere."""
    check_model(service, body.model, service.need_reranker())
    results = await _ranked(service, body, record, echo=bool(body.return_documents))
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1.0},
        "tokens": {"input_tokens": float(record.tokens)},
    }
    return CohereAnswer(str(uuid.uuid4()), results, meta)


_EXAMPLE = {"query": "a pet", "documents": ["A car stops.", "A cat sleeps."], "top_n": 1}

OPERATIONS = (
    Operation(
        "POST",
        "/v1/rerank",
        "Documents in order, as in Jina's",
        jina,
        RerankBody,
        JinaAnswer,
        _EXAMPLE,
        "openai",
    ),
    Operation(
        "POST",
        "/v2/rerank",
        "Documents in order, as in Cohere's interface",
        cohere,
        RerankBody,
        CohereAnswer,
        _EXAMPLE,
        "cohere",
    ),
)
