"""OpenAI's `/v1/embeddings` and `/v1/models`, with the additions of vLLM."""

import base64
import time
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.serving.contracts.vectors import check_dimensions, output_vectors
from minilm_jax.serving.operations import Operation, Raw, Record, checked_inputs
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service
from minilm_jax.text_model import TextModel

_STARTED = int(time.time())
_DTYPES = {"float32": "f4", "float16": "f2"}
_HOW_TO_SEND_TEXTS = (
    "Send texts, or token ids of this model with the special tokens. LangChain's OpenAIEmbeddings sends ids of another"
    " vocabulary unless check_embedding_ctx_length=False."
)


class EmbeddingsBody(msgspec.Struct):
    """A request for vectors."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64", "bytes"] = "float"
    embed_dtype: Literal["float32", "float16"] = "float32"
    endianness: Literal["native", "little", "big"] = "native"
    user: str | None = None


class Usage(msgspec.Struct):
    """Tokens of a request, including special tokens, after truncation."""

    prompt_tokens: int
    total_tokens: int


class Embedding(msgspec.Struct):
    """A vector."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingsAnswer(msgspec.Struct):
    """The vectors of a request."""

    data: list[Embedding]
    model: str
    usage: Usage
    object: Literal["list"] = "list"


class ModelEntry(msgspec.Struct):
    """A model."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "minilm-jax"


class ModelsAnswer(msgspec.Struct):
    """The models of a server."""

    data: list[ModelEntry]
    object: Literal["list"] = "list"


def check_model(service: Service, given: str | None, model: TextModel) -> str:
    """Return the name that a client gave to the model of a route; raises RequestError if it is that of another one."""
    name = service.name_of(model)
    if given not in (None, name, name.rpartition("/")[2]):
        raise RequestError(
            f"the model {given!r:.100} is not served here; this route has {name!r}.", 404, "NotFound", "model"
        )
    return given or name


async def embeddings(service: Service, body: EmbeddingsBody, record: Record) -> Any:
    """Compute vectors."""
    name = check_model(service, body.model, service.need_encoder())
    check_dimensions(service, body.dimensions)
    inputs = _inputs(body.input)
    record.texts = len(checked_inputs(service, inputs, "input"))
    if isinstance(inputs[0], str):
        answer = await service.embed(inputs)
    else:
        answer = await service.embed_ids(_checked_ids(service.need_encoder(), inputs))
    vectors = output_vectors(service, record.add(answer), normalize=False, dimensions=body.dimensions)
    usage = Usage(answer.tokens, answer.tokens)
    if body.encoding_format == "bytes":
        return _as_bytes(vectors, body, usage)
    if body.encoding_format == "base64":
        encoded: list[Any] = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        encoded = vectors.tolist()
    return EmbeddingsAnswer([Embedding(index, each) for index, each in enumerate(encoded)], name, usage)


async def models(service: Service, body: None, record: Record) -> ModelsAnswer:
    """List the models."""
    return ModelsAnswer([ModelEntry(name, _STARTED) for name in service.names])


def _inputs(given: str | list[Any]) -> list[Any]:
    if isinstance(given, str):
        return [given]
    kinds = {type(each) for each in given}
    if kinds == {int}:
        return [given]
    if len(kinds) > 1:
        raise RequestError("input mixes texts and token ids; send them in separate requests.", param="input")
    return given


def _checked_ids(encoder: SentenceEncoder, lists: list[list[int]]) -> list[list[int]]:
    """Return token ids, truncated; raises RequestError if they are not those of texts of this model."""
    first, last = encoder.tokenizer([""]).tokens.ids.tolist()
    size, most = encoder.config.vocab_size, encoder.max_seq_length
    for ids in lists:
        wrong = next((each for each in ids if not 0 <= each < size), None)
        if wrong is not None:
            problem = f"input has the token id {wrong}, outside of the vocabulary of {size}."
        elif len(ids) < 2 or (ids[0], ids[-1]) != (first, last):
            problem = f"input has token ids that do not start with {first} and end with {last}, as this model's do."
        else:
            continue
        raise RequestError(f"{problem} {_HOW_TO_SEND_TEXTS}", param="input")
    return [ids if len(ids) <= most else [*ids[: most - 1], last] for ids in lists]


def _as_bytes(vectors: NDArray[np.float32], body: EmbeddingsBody, usage: Usage) -> Raw:
    """Return vectors one after the other; a header states where each is, as in vLLM."""
    order = {"native": "=", "little": "<", "big": ">"}[body.endianness]
    content = vectors.astype(order + _DTYPES[body.embed_dtype]).tobytes()
    size = len(content) // len(vectors)
    entries = [
        {
            "index": index,
            "start": index * size,
            "end": (index + 1) * size,
            "shape": [vectors.shape[1]],
            "embed_dtype": body.embed_dtype,
            "endianness": body.endianness,
        }
        for index in range(len(vectors))
    ]
    metadata = msgspec.json.encode({"data": entries, "usage": usage}).decode()
    return Raw(content, "application/octet-stream", {"metadata": metadata})


OPERATIONS = (
    Operation(
        "POST",
        "/v1/embeddings",
        "Vectors of texts, as in OpenAI's interface",
        embeddings,
        EmbeddingsBody,
        EmbeddingsAnswer,
        {"input": ["A cat sleeps.", "A kitten naps."]},
        "openai",
    ),
    Operation("GET", "/v1/models", "The models of the server", models, None, ModelsAnswer, None, "openai"),
)
