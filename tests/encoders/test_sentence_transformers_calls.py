"""The sentence-transformers API: results and errors. `make test-peers` compares them with the original."""

import copy
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import OutputPrecision
from tests.helpers.tolerances import TOKEN_VECTORS, UNIT_VECTORS

TEXTS = ["The cat sits outside.", "A man is playing guitar.", "one two three"]


@pytest.fixture
def prompted(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> mj.SentenceEncoder:
    prompts = {"query": "a: ", "passage": "the: ", "other": "an: "}
    monkeypatch.setattr(encoder, "prompts", {**encoder.prompts, **prompts})
    return encoder


def close(found: Any, wanted: Any) -> bool:
    return np.shape(found) == np.shape(wanted) and np.allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)


def test_sentence_transformers_constructor_calls_work(encoder: mj.SentenceEncoder, folder: Path) -> None:
    model: Any = mj.SentenceEncoder
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        loaded = model(name, device=jax.default_backend(), trust_remote_code=False, cache_folder=folder.parent)
    assert close(loaded.encode(sentences=TEXTS), encoder.encode(TEXTS))
    named = model(model_name_or_path=folder, prompts={"query": "q: "}, similarity_fn_name="dot", truncate_dim=7)
    assert (named.prompts["query"], named.similarity_fn_name, named.truncate_dim) == ("q: ", "dot", 7)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trust_remote_code": True}, "trust_remote_code is not supported: code in model folders is never run"),
        ({"model_kwargs": {"torch_dtype": "float16"}}, "precision and max_seq_length are the available settings"),
        ({"cache_dri": "x"}, "unknown keyword 'cache_dri'. Did you mean 'cache_dir'"),
        ({"device": "mps"}, "device is 'mps', but jax computes on"),
        ({"max_seq_length": 513}, "513; the model has 512 positions"),
    ],
)
def test_unsupported_constructor_keyword_raises_error(folder: Path, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(mj.InputError, match=message):
        mj.SentenceEncoder(folder, **keywords)


def test_params_without_tokenizer_raise_error(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="needs its tokenizer too"):
        mj.SentenceEncoder(encoder.params)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"normalize": True}, "unknown keyword 'normalize'. Did you mean 'normalize_embeddings'"),
        ({"pool": {"input": 1}}, "pool is not supported"),
        ({"chunk_size": 5}, "chunk_size is not supported"),
        ({"device": ["cpu", "cpu"]}, "device is "),
        ({"prompt_name": "qury"}, "no prompt is named 'qury'.* Did you mean 'query'"),
        ({"output_value": "token_embedding"}, "Did you mean 'token_embeddings'"),
        ({"precision": "int16"}, "precision is 'int16'"),
        ({"precision": "ubinary", "output_value": None}, "must be float32"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
    ],
)
def test_unsupported_encode_keyword_raises_error(
    encoder: mj.SentenceEncoder, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(mj.InputError, match=message):
        encoder.encode_query(TEXTS, **keywords)


def test_torch_keywords_set_to_none_are_accepted(encoder: mj.SentenceEncoder) -> None:
    assert close(encoder.encode(TEXTS, pool=None, chunk_size=None, device=None), encoder.encode(TEXTS))


def test_prompt_is_chosen_by_name_text_or_method(prompted: mj.SentenceEncoder) -> None:
    def with_prompt(prompt: str) -> Any:
        return prompted.encode([prompt + text for text in TEXTS])

    assert close(prompted.encode(TEXTS, "other"), with_prompt("an: "))
    assert close(prompted.encode(TEXTS, "other", "mine: "), with_prompt("mine: "))
    assert close(prompted.encode_query(TEXTS), with_prompt("a: "))
    assert close(prompted.encode_query(TEXTS, prompt=""), with_prompt(""))
    assert close(prompted.encode_query(TEXTS, "other", None, 1), with_prompt("an: "))
    positional = prompted.encode_query(TEXTS, "other", None, 1, False, "sentence_embedding", "float32", True, False)
    assert close(positional, with_prompt("an: "))
    # As in sentence-transformers, every model has an empty prompt named "document".
    assert close(prompted.encode_document(TEXTS), with_prompt(""))
    assert not close(with_prompt("a: "), with_prompt(""))


def test_default_prompt_and_passage_fallback_are_used(
    prompted: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = prompted.encode(TEXTS, "other")
    monkeypatch.setattr(prompted, "default_prompt_name", "other")
    assert close(prompted.encode(TEXTS), wanted)
    assert not close(prompted.encode_query(TEXTS), wanted)
    monkeypatch.delitem(prompted.prompts, "document")
    assert close(prompted.encode_document(TEXTS), prompted.encode(TEXTS, "passage"))


def test_convert_to_tensor_returns_jax_arrays(encoder: mj.SentenceEncoder) -> None:
    wanted = encoder.encode(TEXTS)
    one = encoder.encode(TEXTS, convert_to_tensor=True)
    several = encoder.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(one, jax.Array)
    assert isinstance(several, list)
    assert all(isinstance(vector, jax.Array) and vector.shape == (384,) for vector in several)
    assert close(one, wanted)
    assert close(np.stack(several), wanted)
    assert isinstance(encoder.encode(TEXTS[0], convert_to_numpy=False), jax.Array)
    assert encoder.encode(TEXTS, precision="ubinary", convert_to_tensor=True).dtype == np.uint8


def test_truncate_dim_keeps_the_first_dimensions(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoder.encode(TEXTS)
    truncated = encoder.encode(TEXTS, truncate_dim=50)
    unit = encoder.encode(TEXTS, truncate_dim=50, normalize_embeddings=True)
    assert close(truncated, whole[:, :50])
    assert close(unit, truncated / np.linalg.norm(truncated, axis=1, keepdims=True))
    monkeypatch.setattr(encoder, "truncate_dim", 50)
    assert close(encoder.encode(TEXTS), truncated)
    assert encoder.get_embedding_dimension() == 50
    assert encoder.encode([]).shape == (0, 50)


def test_token_embeddings_have_one_row_per_token(encoder: mj.SentenceEncoder) -> None:
    texts = [*TEXTS, "", "somewhat longer than the others"]
    vectors = encoder.encode(texts, output_value="token_embeddings")
    lengths = encoder.tokenizer(texts).tokens.lengths.tolist()
    assert [vector.shape for vector in vectors] == [(length, 384) for length in lengths]
    output = mj.encode(encoder.params, mj.tokenize(texts[1]))
    np.testing.assert_allclose(vectors[1], output.last_hidden_state[0, : lengths[1]], rtol=0, atol=TOKEN_VECTORS)
    alone = encoder.encode(texts[1], output_value="token_embeddings")
    np.testing.assert_allclose(vectors[1], alone, rtol=0, atol=TOKEN_VECTORS)
    bits = encoder.encode(texts, output_value="token_embeddings", precision="ubinary")
    np.testing.assert_array_equal(bits[1], np.packbits(vectors[1] > 0, axis=1))
    assert encoder.encode([], output_value="token_embeddings") == []


def test_output_value_none_returns_all_features(encoder: mj.SentenceEncoder) -> None:
    first, second = encoder.encode(TEXTS[:2], output_value=None, truncate_dim=9)
    assert first["input_ids"].tolist() == mj.tokenize(TEXTS[0]).input_ids[0, : len(first["input_ids"])].tolist()
    assert second["token_embeddings"].shape == (len(second["attention_mask"]), 384)
    assert close(second["sentence_embedding"], encoder.encode(TEXTS[1])[:9])
    assert encoder.encode([], output_value=None) == []


def test_tokenize_returns_the_fields_of_a_batch(encoder: mj.SentenceEncoder) -> None:
    features = encoder.tokenize(TEXTS)
    assert {name: values.shape for name, values in features.items()} == dict.fromkeys(mj.Batch._fields, (3, 8))
    assert close(mj.embed(encoder.params, mj.Batch(**features)), encoder.encode(TEXTS))
    with pytest.raises(mj.InputError, match="texts is empty"):
        encoder.tokenize([])


def test_similarity_uses_the_chosen_function(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = 2 * encoder.encode(TEXTS)
    assert close(encoder.similarity(vectors, vectors[:2]), vectors @ vectors[:2].T / 4)
    assert close(encoder.similarity_pairwise(vectors[:2], vectors[1:]), (vectors[:2] * vectors[1:]).sum(axis=1) / 4)
    monkeypatch.setattr(encoder, "similarity_fn_name", "manhattan")
    assert encoder.similarity(vectors[0], vectors[1]) < -10
    monkeypatch.setattr(encoder, "similarity_fn_name", "cosin")
    with pytest.raises(mj.InputError, match="Did you mean 'cosine'"):
        encoder.similarity(vectors, vectors)


def test_encode_stream_takes_texts_as_needed(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    small = dataclasses.replace(encoder._engine.devices, chunk=4)
    monkeypatch.setattr(encoder._engine, "devices", small)
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for text in itertools.cycle(TEXTS):
            taken += 1
            yield text

    stream = encoder.encode_stream(endless(), prompt="So: ", truncate_dim=10)
    first = [next(stream) for _ in range(9)]
    assert taken == 12
    assert close(first, np.tile(encoder.encode(TEXTS, prompt="So: ", truncate_dim=10), (3, 1)))
    assert list(encoder.encode_stream([])) == []


def test_encode_stream_checks_arguments_before_iterating(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="inputs is one string"):
        encoder.encode_stream("one text")
    with pytest.raises(mj.InputError, match="int8 and uint8 need the ranges of all vectors"):
        encoder.encode_stream(TEXTS, precision="int8")


def test_max_seq_length_can_be_set(encoder: mj.SentenceEncoder) -> None:
    counted = mj.SentenceEncoder(encoder.params, encoder.config, encoder.tokenizer)
    counted.max_seq_length = 5
    assert counted.tokenize(TEXTS)["input_ids"].shape == (3, 5)
    with pytest.raises(mj.InputError, match="513; the model has 512 positions"):
        counted.max_seq_length = 513
    for encode in (counted.encode, counted.encode_query):
        counted.stats.truncated = 0
        with pytest.warns(UserWarning, match="longer than 5 tokens") as caught:
            encode(TEXTS)
        assert caught[0].filename == __file__


def test_no_texts_have_an_empty_list_of_token_vectors(encoder: mj.SentenceEncoder) -> None:
    for precision in get_args(OutputPrecision):
        assert encoder.encode([], output_value="token_embeddings", precision=precision) == []


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_compute_precision_in_encode_names_the_constructor(encoder: mj.SentenceEncoder, precision: Any) -> None:
    with pytest.raises(mj.InputError, match=rf"load the model with SentenceEncoder\(…, precision='{precision}'\)"):
        encoder.encode("text", precision=precision)


@pytest.mark.parametrize("value", [0, -5, 1.5, "8"])
@pytest.mark.parametrize("name", ["max_seq_length", "truncate_dim"])
def test_invalid_sizes_raise_error(encoder: mj.SentenceEncoder, name: str, value: Any) -> None:
    with pytest.raises(mj.InputError, match=f"{name} is {value!r}; it must be"):
        mj.SentenceEncoder(encoder.params, tokenizer=encoder.tokenizer, **{name: value})
    with pytest.raises(mj.InputError, match=f"{name} is {value!r}; it must be"):
        setattr(copy.copy(encoder), name, value)


def test_sizes_may_be_integers_of_numpy(encoder: mj.SentenceEncoder) -> None:
    sizes: Any = {"max_seq_length": np.int64(9), "truncate_dim": np.int16(7)}
    small: Any = mj.SentenceEncoder(encoder.params, tokenizer=encoder.tokenizer, **sizes)
    assert small.encode(TEXTS, batch_size=np.int32(2)).shape == (len(TEXTS), 7)
    assert json.dumps([small.max_seq_length, small.truncate_dim]) == "[9, 7]"


def test_similarity_of_texts_raises_error(encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="str is not an array of vectors"):
        encoder.similarity("a", "b")  # pyright: ignore[reportArgumentType]
    with pytest.raises(mj.InputError, match="str is not an array of vectors"):
        encoder.similarity_pairwise("a", "b")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
def test_similarity_of_packed_bits_raises_error(encoder: mj.SentenceEncoder, precision: Any) -> None:
    bits = encoder.encode(TEXTS, precision=precision)
    for compare in (encoder.similarity, encoder.similarity_pairwise):
        with pytest.raises(mj.InputError, match="semantic_search_binary or hamming_sim"):
            compare(bits, bits)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"similarity_fn_name": "cos"}, "similarity_fn_name is 'cos'; it must be one of"),
        ({"default_prompt_name": "zz"}, "no prompt is named 'zz'"),
        ({"prompts": {"a": 5}}, "is int, not str: 5"),
    ],
)
def test_invalid_settings_raise_error_at_construction(encoder: mj.SentenceEncoder, keywords: Any, message: str) -> None:
    with pytest.raises(mj.InputError, match=message):
        mj.SentenceEncoder(encoder.params, tokenizer=encoder.tokenizer, **keywords)


@pytest.mark.parametrize("keywords", [{"prompt": 5}, {"prompt_name": 3}])
def test_prompts_that_are_not_strings_raise_error(encoder: mj.SentenceEncoder, keywords: Any) -> None:
    with pytest.raises(mj.InputError, match="not str"):
        encoder.encode("text", **keywords)
