"""The routes of text-embeddings-inference, and `/explain` for the page."""

from typing import Any

import numpy as np

import minilm_jax
from minilm_jax.prompts import chosen_prompt
from minilm_jax.score_activations import as_activation
from minilm_jax.serving.contracts.reranking import best_first, scores
from minilm_jax.serving.contracts.tei_messages import (
    DecodeBody,
    EmbedBody,
    ExplainBody,
    PredictBody,
    Prediction,
    Rank,
    RerankBody,
    SimilarityBody,
    SparseValue,
    TextsBody,
    Token,
    TokenizeBody,
    Truncation,
)
from minilm_jax.serving.contracts.vectors import check_dimensions, output_vectors
from minilm_jax.serving.operations import Operation, Record, checked_inputs
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service

# No tokenizer returns more tokens.
_NO_LIMIT = 2**31 - 1


def _texts(service: Service, inputs: str | list[str], record: Record) -> list[str]:
    texts = checked_inputs(service, [inputs] if isinstance(inputs, str) else inputs)
    if "" in texts:
        raise RequestError("inputs has an empty text.", 400, "Empty", "inputs")
    record.texts = len(texts)
    return texts


def _options(body: Truncation | None) -> dict[str, Any]:
    """Return the prompt and the truncation of a body; raises RequestError if texts should lose their beginning."""
    body = body or Truncation()
    if body.truncation_direction.lower() == "left":
        raise RequestError("truncation_direction is Left; this server truncates at the end (Right).")
    return {"prompt_name": body.prompt_name, "truncate": body.truncate is not False}


async def embed(service: Service, body: EmbedBody, record: Record) -> list[list[float]]:
    """Compute vectors."""
    check_dimensions(service, body.dimensions)
    rows = record.add(await service.embed(_texts(service, body.inputs, record), **_options(body)))
    return output_vectors(service, rows, normalize=body.normalize, dimensions=body.dimensions).tolist()


async def embed_all(service: Service, body: TextsBody, record: Record) -> list[list[list[float]]]:
    """Compute the vector of every token."""
    rows = record.add(await service.embed_tokens(_texts(service, body.inputs, record), **_options(body)))
    return [each.tolist() for each in rows]


async def embed_sparse(service: Service, body: TextsBody, record: Record) -> list[list[SparseValue]]:
    """Compute sparse vectors."""
    rows = record.add(await service.embed_sparse(_texts(service, body.inputs, record), **_options(body)))
    return [[SparseValue(*each) for each in zip(ids.tolist(), values.tolist(), strict=True)] for ids, values in rows]


async def similarity(service: Service, body: SimilarityBody, record: Record) -> list[float]:
    """Compare a text with others."""
    texts = [body.inputs.source_sentence, *checked_inputs(service, body.inputs.sentences, "sentences")]
    rows = record.add(await service.embed(_texts(service, texts, record), **_options(body.parameters)))
    vectors = output_vectors(service, rows, normalize=True)
    return (vectors[1:] @ vectors[0]).tolist()


async def tokenize(service: Service, body: TokenizeBody, record: Record) -> list[list[Token]]:
    """Tokenize texts, without truncation."""
    texts, model = _texts(service, body.inputs, record), service.models[0]
    prompt = chosen_prompt(model.prompts, None, body.prompt_name or model.default_prompt_name)

    def tokens(text: str) -> list[Token]:
        pieces = model.tokenizer.pieces(prompt + text, _NO_LIMIT)
        found = [Token(p.id, p.token, p.word is None, p.start, p.end) for p in pieces]
        for token in found:
            if token.special:
                token.start = token.stop = None
        return [token for token in found if body.add_special_tokens or not token.special]

    return await service.on_thread(lambda: [tokens(text) for text in texts])


async def decode(service: Service, body: DecodeBody, record: Record) -> list[str]:
    """Return the texts of token ids."""
    given: Any = body.ids
    lists = [given] if all(isinstance(each, int) for each in given) else given
    if not given or any(isinstance(each, int) for each in lists):
        raise RequestError("ids must be one list of token ids, or several.", param="ids")
    tokenizer = service.models[0].tokenizer
    wrong = [each for ids in lists for each in ids if not 0 <= each < tokenizer.vocab_size]
    if wrong:
        raise RequestError(f"ids has {wrong[0]}, outside of the vocabulary of {tokenizer.vocab_size}.", param="ids")
    return [tokenizer.decode(ids, skip_special_tokens=body.skip_special_tokens) for ids in lists]


async def rerank(service: Service, body: RerankBody, record: Record) -> list[Rank]:
    """Sort texts by their scores for a query."""
    texts = checked_inputs(service, body.texts, "texts")
    found = await scores(service, body.query, texts, record, raw=body.raw_scores, **_options(body))
    return [Rank(index, found[index], texts[index] if body.return_text else None) for index in best_first(found)]


async def predict(service: Service, body: PredictBody, record: Record) -> list[Any]:
    """Classify texts or pairs."""
    reranker = service.need_reranker()
    is_one = isinstance(body.inputs, str) or (len(body.inputs) == 2 and all(isinstance(x, str) for x in body.inputs))
    inputs = [body.inputs] if is_one else checked_inputs(service, body.inputs)
    pairs = [_pair(each) for each in inputs]
    record.texts = len(pairs)
    logits = np.stack(record.add(await service.logits(pairs, **_options(body))))
    name = "identity" if body.raw_scores else "sigmoid" if reranker.num_labels == 1 else "softmax"
    values = np.asarray(as_activation(name)(logits))
    labels = [*reranker.id2label.values()]
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
        "reranker": service.reranker and service.name_of(service.reranker),
        "sparse": service.sparse and service.name_of(service.sparse),
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
    Operation("POST", "/tokenize", "Tokens of texts", tokenize, TokenizeBody, list[list[Token]], _TEXTS),
    Operation("POST", "/decode", "Texts of token ids", decode, DecodeBody, list[str], {"ids": [[7, 8, 9]]}),
    Operation(
        "POST",
        "/rerank",
        "Texts in the order of their scores",
        rerank,
        RerankBody,
        list[Rank],
        {"query": "a pet", "texts": ["A car stops.", "A cat sleeps."]},
    ),
    Operation(
        "POST",
        "/predict",
        "Scores of pairs for each label",
        predict,
        PredictBody,
        list[Any],
        {"inputs": [["a pet", "A cat sleeps."]]},
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
    Operation("GET", "/info", "The models and limits of the server", info, None, dict[str, Any]),
)
