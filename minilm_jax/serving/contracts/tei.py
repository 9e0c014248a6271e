"""The routes of text-embeddings-inference, and two of our own: `/explain` and `/live` for the page."""

from typing import Any, Literal

import msgspec
import numpy as np

import minilm_jax
from minilm_jax.score_activations import as_activation
from minilm_jax.serving.contracts.reranking import scores
from minilm_jax.serving.contracts.vectors import output_vectors
from minilm_jax.serving.operations import Operation, Record, checked_inputs
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service
from minilm_jax.tokens.texts import as_texts


class Truncation(msgspec.Struct, kw_only=True):
    """What all bodies may contain."""

    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"
    prompt_name: str | None = None


class EmbedBody(Truncation):
    """Texts to embed."""

    inputs: str | list[str]
    normalize: bool = True
    dimensions: int | None = None


class TextsBody(Truncation):
    """Texts."""

    inputs: str | list[str]


class SimilarityInputs(msgspec.Struct):
    """A text, and those that it is compared with."""

    source_sentence: str
    sentences: list[str]


class SimilarityBody(msgspec.Struct):
    """Texts to compare."""

    inputs: SimilarityInputs
    parameters: Truncation | None = None


class TokenizeBody(msgspec.Struct):
    """Texts to tokenize."""

    inputs: str | list[str]
    add_special_tokens: bool = True
    prompt_name: str | None = None


class DecodeBody(msgspec.Struct):
    """Token ids."""

    ids: list[int | list[int]]
    skip_special_tokens: bool = True


class RerankBody(Truncation):
    """A query, and texts to sort."""

    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False


class PredictBody(Truncation):
    """Texts or pairs to classify."""

    inputs: str | list[str | list[str]]
    raw_scores: bool = False


class ExplainBody(msgspec.Struct):
    """Two texts whose similarity is explained."""

    first: str
    second: str


class Token(msgspec.Struct):
    """A token and its position in the text."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Rank(msgspec.Struct, omit_defaults=True):
    """A text in the result of `/rerank`."""

    index: int
    score: float
    text: str | None = None


class Prediction(msgspec.Struct):
    """A label and its score."""

    score: float
    label: str


class SparseValue(msgspec.Struct):
    """A weight of a sparse vector."""

    index: int
    value: float


def _texts(service: Service, inputs: str | list[str], record: Record) -> list[str]:
    texts = checked_inputs(service, [inputs] if isinstance(inputs, str) else inputs)
    if "" in texts:
        raise RequestError("inputs has an empty text.", 400, "Empty", "inputs")
    record.texts = len(texts)
    return texts


def _check_truncation(body: Truncation | None) -> None:
    if body is not None and body.truncation_direction.lower() == "left":
        raise RequestError("truncation_direction is Left; this server truncates at the end (Right).")


async def _vectors(service: Service, texts: list[str], body: Truncation | None, record: Record) -> list[Any]:
    _check_truncation(body)
    name = None if body is None else body.prompt_name
    if body is not None and body.truncate is False:
        await _check_lengths(service, texts, name)
    return record.add(await service.embed(texts, name))


async def _check_lengths(service: Service, texts: list[str], prompt_name: str | None) -> None:
    if service.encoder is None:
        return
    most = service.encoder.max_seq_length
    lengths = service.encoder.tokenizer(texts, most + 1).tokens.lengths
    if lengths.max() > most:
        raise RequestError(f"inputs must have at most {most} tokens if truncate is false.", 422, "Validation", "inputs")


async def embed(service: Service, body: EmbedBody, record: Record) -> list[list[float]]:
    """Compute vectors."""
    rows = await _vectors(service, _texts(service, body.inputs, record), body, record)
    return output_vectors(service, rows, normalize=body.normalize, dimensions=body.dimensions).tolist()


async def embed_all(service: Service, body: TextsBody, record: Record) -> list[list[list[float]]]:
    """Compute the vector of every token."""
    _check_truncation(body)
    texts = _texts(service, body.inputs, record)
    return [each.tolist() for each in record.add(await service.embed_tokens(texts, body.prompt_name))]


async def embed_sparse(service: Service, body: TextsBody, record: Record) -> list[list[SparseValue]]:
    """Compute sparse vectors."""
    _check_truncation(body)
    rows = record.add(await service.embed_sparse(_texts(service, body.inputs, record), body.prompt_name))
    return [[SparseValue(*each) for each in zip(ids.tolist(), values.tolist(), strict=True)] for ids, values in rows]


async def similarity(service: Service, body: SimilarityBody, record: Record) -> list[float]:
    """Compare a text with others."""
    texts = [body.inputs.source_sentence, *checked_inputs(service, body.inputs.sentences, "sentences")]
    rows = await _vectors(service, _texts(service, texts, record), body.parameters, record)
    vectors = output_vectors(service, rows, normalize=True)
    return (vectors[1:] @ vectors[0]).tolist()


async def tokenize(service: Service, body: TokenizeBody, record: Record) -> list[list[Token]]:
    """Tokenize texts, without truncation."""
    texts = _texts(service, body.inputs, record)
    tokenizer = service.models[0].tokenizer
    as_texts(texts)
    prompt = service.models[0].prompts.get(body.prompt_name or "", "")
    found = []
    for text in texts:
        pieces = tokenizer.pieces(prompt + text, 2**31 - 1)
        tokens = [
            Token(p.id, p.token, p.word is None, *((None, None) if p.word is None else (p.start, p.end)))
            for p in pieces
        ]
        found.append([t for t in tokens if body.add_special_tokens or not t.special])
    return found


async def decode(service: Service, body: DecodeBody, record: Record) -> list[str]:
    """Return the texts of token ids."""
    given: Any = body.ids
    lists = [given] if all(isinstance(each, int) for each in given) else given
    if not given or any(isinstance(each, int) for each in lists):
        raise RequestError("ids must be one list of token ids, or several.", param="ids")
    tokenizer, found = service.models[0].tokenizer, []
    for ids in lists:
        wrong = [each for each in ids if not 0 <= each < tokenizer.vocab_size]
        if wrong:
            raise RequestError(f"ids has {wrong[0]}, outside of the vocabulary of {tokenizer.vocab_size}.", param="ids")
        found.append(tokenizer.decode(ids, skip_special_tokens=body.skip_special_tokens))
    return found


async def rerank(service: Service, body: RerankBody, record: Record) -> list[Rank]:
    """Sort texts by their scores for a query."""
    _check_truncation(body)
    texts = checked_inputs(service, body.texts, "texts")
    found = await scores(service, body.query, texts, record, raw=body.raw_scores)
    best = sorted(range(len(found)), key=lambda index: -found[index])
    return [Rank(index, found[index], texts[index] if body.return_text else None) for index in best]


async def predict(service: Service, body: PredictBody, record: Record) -> list[Any]:
    """Classify texts or pairs."""
    _check_truncation(body)
    is_one = isinstance(body.inputs, str) or (len(body.inputs) == 2 and all(isinstance(x, str) for x in body.inputs))
    inputs = [body.inputs] if is_one else checked_inputs(service, body.inputs)
    pairs = [_pair(each) for each in inputs]
    record.texts = len(pairs)
    logits = np.stack(record.add(await service.logits(pairs)))
    assert service.reranker is not None
    name = "identity" if body.raw_scores else "sigmoid" if service.reranker.num_labels == 1 else "softmax"
    values = np.asarray(as_activation(name)(logits))
    labels = [service.reranker.id2label[index] for index in range(values.shape[1])]
    found = [
        sorted((Prediction(*each) for each in zip(row, labels, strict=True)), key=lambda p: -p.score)
        for row in values.tolist()
    ]
    return found[0] if is_one else found


def _pair(given: Any) -> tuple[str, str]:
    if not isinstance(given, list) or len(given) != 2:
        raise RequestError("the model scores pairs; each input must be a list of two texts.", param="inputs")
    return given[0], given[1]


async def explain(service: Service, body: ExplainBody, record: Record) -> dict[str, Any]:
    """Compute how much each word adds to the similarity of two texts."""
    texts = _texts(service, [body.first, body.second], record)
    vectors = output_vectors(service, record.add(await service.embed(texts)), normalize=True)
    first, second = await service.explain(body.first, body.second)
    return {
        "similarity": float(vectors[0] @ vectors[1]),
        "first": [each._asdict() for each in first],
        "second": [each._asdict() for each in second],
    }


async def info(service: Service, body: None, record: Record) -> dict[str, Any]:
    """Describe the server and its models."""
    settings, model = service.settings, service.models[0]
    kind: dict[str, Any] = {"embedding": {"pooling": str(model.config.pooling)}}
    if service.encoder is None and service.reranker is not None:
        labels = service.reranker.id2label
        kind = {"reranker": {"id2label": labels, "label2id": {label: index for index, label in labels.items()}}}
    return {
        "model_id": settings.model,
        "model_sha": settings.revision,
        "model_dtype": model.stats.computed_in,
        "served_model_name": settings.model,
        "model_type": kind,
        "max_concurrent_requests": None,
        "max_input_length": model.max_seq_length,
        "max_batch_tokens": model.batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_inputs,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": minilm_jax.__version__,
        "sha": None,
        "docker_label": None,
        "dimensions": service.encoder.get_embedding_dimension() if service.encoder else None,
        "reranker": None if service.reranker is None else settings.reranker or settings.model,
        "sparse": None if service.sparse is None else settings.sparse or settings.model,
    }


_TEXTS = {"inputs": ["A cat sleeps.", "A kitten naps."]}

OPERATIONS = (
    Operation("POST", "/embed", "Vectors of texts", embed, EmbedBody, list[list[float]], _TEXTS),
    # Clients of Hugging Face's inference endpoints use the address itself.
    Operation("POST", "/", "Vectors of texts, as /embed", embed, EmbedBody, list[list[float]], _TEXTS),
    Operation("POST", "/embed_all", "Vectors of all tokens", embed_all, TextsBody, list[list[list[float]]], _TEXTS),
    Operation(
        "POST",
        "/embed_sparse",
        "Sparse vectors of texts",
        embed_sparse,
        TextsBody,
        list[list[SparseValue]],
        _TEXTS,
        needs="sparse",
    ),
    Operation(
        "POST",
        "/similarity",
        "Similarity of a text with others",
        similarity,
        SimilarityBody,
        list[float],
        {"inputs": {"source_sentence": "a pet", "sentences": ["A cat sleeps.", "A car stops."]}},
    ),
    Operation("POST", "/tokenize", "Tokens of texts", tokenize, TokenizeBody, list[list[Token]], _TEXTS, needs=""),
    Operation("POST", "/decode", "Texts of token ids", decode, DecodeBody, list[str], {"ids": [[7, 8, 9]]}, needs=""),
    Operation(
        "POST",
        "/rerank",
        "Texts in the order of their scores",
        rerank,
        RerankBody,
        list[Rank],
        {"query": "a pet", "texts": ["A car stops.", "A cat sleeps."]},
        needs="reranker",
    ),
    Operation(
        "POST",
        "/predict",
        "Scores of pairs for each label",
        predict,
        PredictBody,
        list[Any],
        {"inputs": [["a pet", "A cat sleeps."]]},
        needs="reranker",
    ),
    Operation(
        "POST",
        "/explain",
        "Words that make two texts similar",
        explain,
        ExplainBody,
        dict[str, Any],
        {"first": "A cat sleeps.", "second": "A kitten naps."},
    ),
    Operation("GET", "/info", "The models and limits of the server", info, None, dict[str, Any], needs=""),
)
