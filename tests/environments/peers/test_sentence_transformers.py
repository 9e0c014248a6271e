"""The same calls to sentence-transformers and to `SentenceEncoder`, with the real weights, give equal results.

`make test-peers` runs them in a separate environment.
"""

import inspect
import os
import warnings
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings as their_quantize_embeddings

import minilm_jax as mj
from minilm_jax.vectors.quantization import find_ranges, quantize_embeddings
from tests.helpers.tolerances import INT8_LEVELS_OFF_BY_ONE, TOKEN_VECTORS, TORCH_MANHATTAN, UNIT_VECTORS

TEXTS = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "",
    "Die Katze sitzt draußen.",
    "naïve café 😀👩‍👩‍👧‍👦",
    "  white \t space\n",
    "猫が外に座っている。",
    "one " * 40,
    "too long " * 200,
    *(f"{'word ' * (i % 9)}number {i}" for i in range(100)),
]
PROMPTS = {"query": "Represent this: ", "passage": "passage: ", "other": "Other. "}
PRECISIONS = ["float32", "int8", "uint8", "binary", "ubinary"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* texts are longer than",
    "ignore:the quantization ranges come from",
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", prompts=PROMPTS)


@pytest.fixture(scope="module")
def ours(folder: Path) -> mj.SentenceEncoder:
    return mj.SentenceEncoder(folder, device="cpu", prompts=PROMPTS)


def array(result: Any) -> NDArray[Any]:
    return result.numpy() if isinstance(result, torch.Tensor) else np.asarray(result)


def assert_equal(ours: Any, theirs: Any, tolerance: float = UNIT_VECTORS) -> None:
    """Assert that arrays, tensors, or lists of them are equal, including their shapes and dtypes."""
    assert isinstance(ours, list) == isinstance(theirs, list)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other, tolerance)
        return
    found, wanted = array(ours), array(theirs)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"batch_size": 7},
        {"show_progress_bar": True},
        {"prompt": "Prompt: "},
        {"prompt_name": "other"},
        {"normalize_embeddings": True},
        {"truncate_dim": 100},
        {"truncate_dim": 100, "normalize_embeddings": True},
        {"truncate_dim": 1_000},
        {"convert_to_numpy": False},
        {"convert_to_tensor": True},
        {"device": "cpu"},
    ],
    ids=str,
)
def test_encode_gives_equal_vectors(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, keywords: dict[str, Any]
) -> None:
    for inputs in (TEXTS[:9], TEXTS[0]):
        assert_equal(ours.encode(inputs, **keywords), theirs.encode(inputs, **keywords))


@pytest.mark.parametrize("method", ["encode_query", "encode_document"])
@pytest.mark.parametrize("keywords", [{}, {"prompt": "Prompt: "}, {"prompt_name": "other"}, {"prompt": ""}], ids=str)
def test_encode_query_and_encode_document_give_equal_vectors(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, method: str, keywords: dict[str, Any]
) -> None:
    assert_equal(getattr(ours, method)(TEXTS[:4], **keywords), getattr(theirs, method)(TEXTS[:4], **keywords))


@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
def test_encode_has_the_same_order_of_parameters(method: str) -> None:
    wanted = [*inspect.signature(getattr(SentenceTransformer, method)).parameters]
    found = [*inspect.signature(mj.SentenceEncoder.encode).parameters]
    assert found == wanted[: len(found)]
    assert wanted[len(found) :] == ["pool", "chunk_size", "kwargs"]


def test_encode_accepts_all_arguments_by_position(ours: mj.SentenceEncoder, theirs: SentenceTransformer) -> None:
    arguments = (TEXTS[:9], "other", None, 4, False, "sentence_embedding", "ubinary", True, False, "cpu", True, 64)
    for method in ("encode", "encode_query", "encode_document"):
        assert_equal(getattr(ours, method)(*arguments), getattr(theirs, method)(*arguments))


def test_encode_accepts_the_old_keyword_sentences(ours: mj.SentenceEncoder, theirs: SentenceTransformer) -> None:
    for method in ("encode", "encode_query", "encode_document"):
        assert_equal(getattr(ours, method)(sentences=TEXTS[:2]), getattr(theirs, method)(sentences=TEXTS[:2]))


@pytest.mark.parametrize("inputs", [tuple(TEXTS[:3]), np.array(TEXTS[:3]), np.array(TEXTS[:3], object)], ids=type)
def test_encode_accepts_tuples_and_arrays(ours: mj.SentenceEncoder, theirs: SentenceTransformer, inputs: Any) -> None:
    assert_equal(ours.encode(inputs), theirs.encode(inputs))


@pytest.mark.parametrize("keywords", [{}, {"convert_to_numpy": False}, {"output_value": "token_embeddings"}], ids=str)
def test_encode_of_an_empty_list_is_empty(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, keywords: dict[str, Any]
) -> None:
    assert len(ours.encode([], **keywords)) == len(theirs.encode([], **keywords)) == 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("keywords", [{}, {"truncate_dim": 100}, {"convert_to_tensor": True}], ids=str)
def test_encode_gives_equal_quantized_vectors(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, precision: Any, keywords: dict[str, Any]
) -> None:
    found = array(ours.encode(TEXTS, precision=precision, **keywords))
    wanted = array(theirs.encode(TEXTS, precision=precision, **keywords))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if precision in ("int8", "uint8"):
        # The vectors differ by 1e-7, so a value can be rounded to the next level.
        difference = np.abs(found.astype(int) - wanted.astype(int))
        assert difference.max() <= 1
        assert (difference > 0).mean() < INT8_LEVELS_OFF_BY_ONE
    else:
        assert_equal(found, wanted)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("calibration", ["embeddings", "ranges", "others"])
def test_quantize_embeddings_gives_equal_levels(theirs: SentenceTransformer, precision: Any, calibration: str) -> None:
    vectors = theirs.encode(TEXTS)
    given = {
        "embeddings": {},
        "ranges": {"ranges": find_ranges(vectors[:50])},
        "others": {"calibration_embeddings": vectors[:50]},
    }[calibration]
    wanted = their_quantize_embeddings(vectors, precision, **given)
    assert_equal(quantize_embeddings(vectors, precision, **given), wanted, tolerance=0)
    assert_equal(quantize_embeddings(list(vectors), precision, **given), wanted, tolerance=0)
    matrices = np.split(vectors, [10, 15])
    assert_equal(
        quantize_embeddings(matrices, precision, **given),
        their_quantize_embeddings(matrices, precision, **given),
        tolerance=0,
    )


def test_encode_gives_equal_token_embeddings(ours: mj.SentenceEncoder, theirs: SentenceTransformer) -> None:
    assert_equal(
        ours.encode(TEXTS, output_value="token_embeddings"),
        theirs.encode(TEXTS, output_value="token_embeddings"),
        TOKEN_VECTORS,
    )
    assert_equal(
        ours.encode(TEXTS[0], output_value="token_embeddings"),
        theirs.encode(TEXTS[0], output_value="token_embeddings"),
        TOKEN_VECTORS,
    )


@pytest.mark.parametrize("text", TEXTS[:9])
def test_encode_with_output_value_none_gives_equal_features(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, text: str
) -> None:
    found, wanted = ours.encode(text, output_value=None), theirs.encode(text, output_value=None)
    assert wanted.keys() - found.keys() == {"modality"}
    assert_equal(found["token_embeddings"], wanted["token_embeddings"], TOKEN_VECTORS)
    assert_equal(found["sentence_embedding"], wanted["sentence_embedding"])
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_tokenize_gives_equal_features(ours: mj.SentenceEncoder, theirs: SentenceTransformer) -> None:
    found, wanted = ours.tokenize(TEXTS), theirs.tokenize(TEXTS)
    assert wanted.keys() - found.keys() == {"modality"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, wanted[name])


@pytest.mark.parametrize("similarity_fn_name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_gives_equal_scores(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, similarity_fn_name: Any
) -> None:
    vectors = theirs.encode(TEXTS[:9])
    ours.similarity_fn_name = theirs.similarity_fn_name = similarity_fn_name
    tolerance = TORCH_MANHATTAN if similarity_fn_name == "manhattan" else UNIT_VECTORS
    for method in ("similarity", "similarity_pairwise"):
        assert_equal(
            getattr(ours, method)(vectors, vectors[::-1]),
            getattr(theirs, method)(vectors, vectors[::-1].copy()),
            tolerance,
        )
    assert_equal(ours.similarity(vectors[0], vectors), theirs.similarity(vectors[0], vectors), tolerance)


@pytest.mark.parametrize(
    "keywords",
    [
        {"batch_size": 0},
        {"precision": "int4"},
        {"prompt_name": "no such"},
        {"normalise_embeddings": True},
        {"precision": "int8", "inputs": "one text"},
    ],
    ids=str,
)
def test_encode_rejects_the_same_arguments(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, keywords: dict[str, Any]
) -> None:
    arguments = {"inputs": TEXTS[:2], **keywords}
    for encoder in (ours, theirs):
        with pytest.raises(ValueError, match=r".+"):
            encoder.encode(**arguments)


def test_settings_have_equal_values(ours: mj.SentenceEncoder, theirs: SentenceTransformer) -> None:
    for name in ("prompts", "default_prompt_name", "truncate_dim", "max_seq_length"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension() == 384
    assert ours.get_sentence_embedding_dimension() == theirs.get_sentence_embedding_dimension()


def test_changed_settings_have_the_same_effect(folder: Path) -> None:
    ours, theirs = mj.SentenceEncoder(folder), SentenceTransformer(str(folder), device="cpu")
    for encoder in (ours, theirs):
        encoder.prompts["name"] = "A prompt: "
        encoder.default_prompt_name = "name"
        encoder.max_seq_length = 12
        encoder.truncate_dim = 50
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension() == 50
    for method in ("encode", "encode_query", "encode_document"):
        assert_equal(getattr(ours, method)(TEXTS), getattr(theirs, method)(TEXTS))


def test_both_load_a_model_saved_by_minilm_jax(
    ours: mj.SentenceEncoder, theirs: SentenceTransformer, tmp_path: Path
) -> None:
    saved = mj.SentenceEncoder(
        ours.params, ours.config, ours.tokenizer, 20, prompts=PROMPTS, default_prompt_name="query", truncate_dim=99
    )
    saved.save_pretrained(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    theirs.max_seq_length = 20
    wanted = theirs.encode(TEXTS, prompt_name="query", truncate_dim=99)
    theirs.max_seq_length = 256
    assert loaded.max_seq_length == 20
    np.testing.assert_array_equal(loaded.encode(TEXTS), wanted)
    assert_equal(mj.SentenceEncoder(tmp_path / "model").encode(TEXTS), wanted)
    for name, values in loaded.tokenize(TEXTS).items():
        if name != "modality":
            np.testing.assert_array_equal(values, saved.tokenize(TEXTS)[name])


def test_minilm_jax_loads_a_model_saved_by_sentence_transformers(theirs: SentenceTransformer, tmp_path: Path) -> None:
    theirs.save_pretrained(str(tmp_path / "model"))
    loaded = mj.SentenceEncoder(tmp_path / "model")
    assert loaded.prompts == theirs.prompts
    assert loaded.max_seq_length == 256
    assert_equal(loaded.encode(TEXTS), theirs.encode(TEXTS))


def test_encode_stream_gives_equal_vectors(ours: mj.SentenceEncoder, theirs: SentenceTransformer) -> None:
    assert_equal(np.stack([*ours.encode_stream(iter(TEXTS), prompt="So: ")]), theirs.encode(TEXTS, prompt="So: "))
