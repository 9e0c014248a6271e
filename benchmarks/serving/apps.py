"""The applications that minilm-jax is compared with, as the documentation of FastAPI shows them."""
# pyright: reportMissingImports=false

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from benchmarks.peers import Vectors
from benchmarks.serving.servers import FOLDER


class Texts(BaseModel):
    """The body of a request."""

    input: list[str]


class Embedding(BaseModel):
    """The vector of a text."""

    embedding: list[float]


class Embeddings(BaseModel):
    """The body of an answer."""

    data: list[Embedding]


def sentence_transformers() -> FastAPI:
    """Return an application with sentence-transformers on torch."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(os.environ[FOLDER], device="cpu")
    return _app(lambda texts: model.encode(texts, normalize_embeddings=True))


def onnxruntime() -> FastAPI:
    """Return an application with onnxruntime, after its optimizer for BERT; texts are padded per request."""
    from benchmarks.peers.onnx_runtime import load

    return _app(load(Path(os.environ[FOLDER]), "float32").encode)


def constant() -> FastAPI:
    """Return an application that always gives the same answer, which shows the limit of the load generator."""
    vector = np.random.default_rng(0).standard_normal(384, np.float32).tolist()
    answer = Embeddings(data=[Embedding(embedding=vector)]).model_dump_json()
    app = FastAPI()

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    return app


def _app(encode: Callable[[list[str]], Vectors]) -> FastAPI:
    app = FastAPI()

    # FastAPI calls functions that are not async on its threads.
    @app.post("/v1/embeddings")
    def embeddings(texts: Texts) -> Embeddings:
        return Embeddings(data=[Embedding(embedding=vector) for vector in encode(texts.input).tolist()])

    return app
