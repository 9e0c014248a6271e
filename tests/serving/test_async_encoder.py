"""`AsyncSentenceEncoder` gives the vectors of `SentenceEncoder`, whoever shares a batch."""

import asyncio

import numpy as np
import pytest

import minilm_jax as mj
from tests.helpers.tolerances import UNIT_VECTORS

TEXTS = [f"{'word ' * (index % 11)}number {index}" for index in range(60)]


def test_concurrent_calls_give_the_vectors_of_encode(encoder: mj.SentenceEncoder) -> None:
    async def main() -> tuple[list[np.ndarray], int]:
        async with mj.AsyncSentenceEncoder(encoder, max_wait=0.05) as model:
            singles = [model.encode(text) for text in TEXTS]
            lists = [model.encode(TEXTS[start:]) for start in (0, 30)]
            found = await asyncio.gather(*singles, *lists)
            return found, model.stats.batches

    found, batches = asyncio.run(main())
    expected = encoder.encode(TEXTS)
    np.testing.assert_allclose(np.stack(found[:60]), expected, rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(found[60], expected, rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(found[61], expected[30:], rtol=0, atol=UNIT_VECTORS)
    assert batches < 62


def test_prompts_and_options_are_those_of_encode(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "prompts", {"query": "q: ", "passage": "p: "})

    async def main() -> list[np.ndarray]:
        async with mj.AsyncSentenceEncoder(encoder) as model:
            return [
                await model.encode_query("a"),
                await model.encode_document(["a"]),
                await model.encode_query("a", prompt="x: "),
                await model.encode("a", truncate_dim=7, normalize_embeddings=True),
                await model.encode([]),
            ]

    query, document, other, short, none = asyncio.run(main())
    for found, expected in (
        (query, encoder.encode_query("a")),
        (document, encoder.encode_document(["a"])),
        (other, encoder.encode("x: a")),
        (short, encoder.encode("a", truncate_dim=7, normalize_embeddings=True)),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=UNIT_VECTORS)
    assert none.shape == (0, 384)


def test_wrong_text_fails_only_its_call(encoder: mj.SentenceEncoder) -> None:
    async def main() -> list[object]:
        async with mj.AsyncSentenceEncoder(encoder) as model:
            calls = [model.encode("a"), model.encode([None]), model.encode("b", prompt_name="none")]  # pyright: ignore
            return await asyncio.gather(*calls, return_exceptions=True)

    good, not_a_text, no_prompt = asyncio.run(main())
    assert isinstance(good, np.ndarray)
    assert isinstance(not_a_text, mj.InputError)
    assert isinstance(no_prompt, mj.InputError)


def test_cancelled_call_leaves_the_queue(encoder: mj.SentenceEncoder) -> None:
    async def main() -> tuple[bool, np.ndarray, int]:
        async with mj.AsyncSentenceEncoder(encoder, max_wait=0.2) as model:
            cancelled = asyncio.create_task(model.encode(["a"] * 5_000))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            vector = await model.encode("b")
            return cancelled.cancelled(), vector, model.stats.cancelled

    cancelled, vector, count = asyncio.run(main())
    assert cancelled
    assert count == 1
    np.testing.assert_allclose(vector, encoder.encode("b"), rtol=0, atol=UNIT_VECTORS)


def test_closed_encoder_refuses_calls(encoder: mj.SentenceEncoder) -> None:
    async def main() -> None:
        model = mj.AsyncSentenceEncoder(encoder)
        await model.aclose()
        with pytest.raises(mj.InputError, match="closed"):
            await model.encode("a")

    asyncio.run(main())
