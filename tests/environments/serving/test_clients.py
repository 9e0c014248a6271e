"""The clients that people use, against a server process."""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cohere
import httpx
import numpy as np
import openai
import pytest
import schemathesis
import yaml
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer
from huggingface_hub import InferenceClient
from kubernetes_validate import validate
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from openapi_spec_validator import validate as validate_openapi
from pydantic import SecretStr

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from tests.helpers import small_heads
from tests.helpers.server import KEY, serving
from tests.helpers.tolerances import UNIT_VECTORS

TEXTS = ["A cat sleeps.", "A kitten naps.", "Stocks fell."]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        small_heads.cross_encoder(model_folder(DEFAULT_MODEL)).save_pretrained(folder)
        with serving("--api-key", KEY, "--reranker", folder) as url:
            yield url


@pytest.fixture(scope="session")
def expected() -> np.ndarray:
    return mj.SentenceEncoder().encode(TEXTS)


def equal(found: object, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=0, atol=UNIT_VECTORS)


# The client asks for base64 unless told otherwise, and decodes it.
@pytest.mark.parametrize("encoding", ["float", openai.omit])
def test_openai(url: str, expected: np.ndarray, encoding: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
    found = client.embeddings.create(input=TEXTS, model="all-minilm-l6-v2", encoding_format=encoding)
    equal([entry.embedding for entry in found.data], expected)
    assert found.usage.prompt_tokens == int(mj.SentenceEncoder().token_ids(TEXTS).lengths.sum())
    assert [model.id for model in client.models.list()] == ["all-minilm-l6-v2", client.models.list().data[1].id]


def test_chroma(url: str, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", KEY)
    embed = HuggingFaceEmbeddingServer(url=f"{url}/embed", api_key_env_var="TEST_SERVER_KEY")
    equal(embed(TEXTS), expected)


def test_openai_errors(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
    with pytest.raises(openai.NotFoundError, match="gpt-4") as missing:
        client.embeddings.create(input="a", model="gpt-4")
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="between 1 and 384"):
        client.embeddings.create(input="a", model="all-minilm-l6-v2", dimensions=1_000)
    with pytest.raises(openai.AuthenticationError, match="API key"):
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").models.list()


def test_langchain_openai(url: str, expected: np.ndarray) -> None:
    options = {"base_url": f"{url}/v1", "api_key": SecretStr(KEY), "model": "all-minilm-l6-v2"}
    equal(OpenAIEmbeddings(**options, check_embedding_ctx_length=False).embed_documents(TEXTS), expected)


def test_ids_of_another_vocabulary_are_refused(url: str) -> None:
    # langchain-openai sends ids of cl100k, which it downloads; these are those of "hello world" and " dating".
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
    for ids in ([15339, 1917], [5737]):
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
            client.embeddings.create(input=ids, model="all-minilm-l6-v2")


def test_hugging_face_client(url: str, expected: np.ndarray) -> None:
    client = InferenceClient(base_url=url, token=KEY)
    equal([client.feature_extraction(text)[0] for text in TEXTS], expected)


def test_llama_index(url: str, expected: np.ndarray) -> None:
    model = TextEmbeddingsInference(model_name="all-minilm-l6-v2", base_url=url, auth_token=KEY)
    equal(model.get_text_embedding_batch(TEXTS), expected)


def test_cohere(url: str) -> None:
    found = cohere.ClientV2(api_key=KEY, base_url=url).rerank(
        model=httpx.get(f"{url}/info", headers={"authorization": f"Bearer {KEY}"}).json()["reranker"],
        query="a pet",
        documents=TEXTS,
        top_n=2,
    )
    scores = [result.relevance_score for result in found.results]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)


def test_openapi_document_is_valid(url: str) -> None:
    validate_openapi(httpx.get(f"{url}/openapi.json", headers={"authorization": f"Bearer {KEY}"}).json())


def test_no_request_of_schemathesis_fails_in_the_server(url: str) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    statuses = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        for _ in range(50):
            case = operation.as_strategy().example()
            statuses.add(case.call(headers=headers).status_code)
    assert not {status for status in statuses if status >= 500}


def test_kubernetes_example_is_valid() -> None:
    for document in yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text()):
        validate(document, "1.37", strict=True)


def test_fastapi_example_of_the_docs() -> None:
    *_, code = re.findall(r"```python\n(.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)

    async def main() -> list[Any]:
        transport = httpx.ASGITransport(names["app"])
        async with names["encoder"], httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return (await client.post("/vectors", json=TEXTS)).json()

    equal(asyncio.run(main()), mj.SentenceEncoder().encode(TEXTS))
