"""Servers in processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from tests.helpers import small_heads
from tests.helpers.server import KEY, serving

OPTIONS = (
    "--max-body-bytes",
    "200000",
    "--max-inputs",
    "100",
    "--read-timeout",
    "2",
    "--cors-origin",
    "https://a.example",
)


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cross-encoder and a sparse encoder with random params."""
    folder, model = tmp_path_factory.mktemp("models"), model_folder(DEFAULT_MODEL)
    small_heads.cross_encoder(model).save_pretrained(folder / "reranker")
    small_heads.sparse_encoder(model).save_pretrained(folder / "sparse")
    return folder / "reranker", folder / "sparse"


@pytest.fixture(scope="session")
def client(small_models: tuple[Path, Path]) -> Iterator[httpx.Client]:
    """A client of a server with all kinds of models."""
    reranker, sparse = small_models
    with (
        serving("--reranker", str(reranker), "--sparse", str(sparse), *OPTIONS) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def locked() -> Iterator[httpx.Client]:
    """A client of a server that needs a key."""
    with (
        serving("--api-key", "other", "--api-key", KEY, "--request-timeout", "1") as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def reranker(small_models: tuple[Path, Path]) -> mj.CrossEncoder:
    """The cross-encoder of `client`."""
    return mj.CrossEncoder(small_models[0])


@pytest.fixture(scope="session")
def sparse(small_models: tuple[Path, Path]) -> mj.SparseEncoder:
    """The sparse encoder of `client`."""
    return mj.SparseEncoder(small_models[1])
