"""`SparseEncoder`: results, keywords and errors. `make test-peers` compares them with sentence-transformers."""

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

import minilm_jax as mj
from minilm_jax.nn.params import flatten
from minilm_jax.sparse_encoder import SparseEncoder
from tests.helpers.small_heads import RERANKER, SPLADE, cross_encoder, sparse_encoder
from tests.helpers.tolerances import TOKEN_VECTORS

TEXTS = ["Berlin is a city.", "", "The cat sat on the mat.", "one two three four five six seven", "a"]


@pytest.fixture(scope="module")
def splade(folder: Path) -> SparseEncoder:
    return sparse_encoder(folder)


def dense(model: SparseEncoder, texts: list[str]) -> Any:
    batch = mj.tokenize(texts, max_seq_length=40)
    return np.asarray(jax.jit(mj.embed_sparse)(model.params, batch))


def test_vectors_are_those_of_embed_sparse(splade: SparseEncoder) -> None:
    found = splade.encode(TEXTS)
    assert isinstance(found, csr_array)
    assert (found.shape, found.dtype) == ((len(TEXTS), 30_522), np.float32)
    np.testing.assert_allclose(found.toarray(), dense(splade, TEXTS), rtol=0, atol=TOKEN_VECTORS)
    assert 0 < found.nnz < len(TEXTS) * 30_522


def test_vector_does_not_depend_on_other_texts(splade: SparseEncoder) -> None:
    together = splade.encode(TEXTS * 20).toarray()
    for index, text in enumerate(TEXTS):
        np.testing.assert_allclose(splade.encode(text).toarray()[0], together[index], rtol=0, atol=TOKEN_VECTORS)
    np.testing.assert_allclose(splade.encode(TEXTS, batch_size=1).toarray(), together[:5], rtol=0, atol=TOKEN_VECTORS)


def test_one_text_gives_one_row_and_none_gives_no_row(splade: SparseEncoder) -> None:
    assert splade.encode("text").shape == (1, 30_522)
    assert splade.encode([]).shape == (0, 30_522)


def test_only_the_largest_weights_are_kept(folder: Path, splade: SparseEncoder) -> None:
    whole, cut = splade.encode(TEXTS).toarray(), splade.encode(TEXTS, max_active_dims=7).toarray()
    assert (np.count_nonzero(cut, axis=1) == 7).all()
    assert (cut.max(axis=1) == whole.max(axis=1)).all()
    assert np.array_equal(-np.sort(-whole)[:, :7], -np.sort(-cut)[:, :7])
    limited = sparse_encoder(folder, max_active_dims=7)
    np.testing.assert_array_equal(limited.encode(TEXTS).toarray(), cut)
    with pytest.raises(mj.InputError, match="max_active_dims is 0"):
        splade.encode(TEXTS, max_active_dims=0)


@pytest.mark.parametrize("name", ["dot", "cosine", "euclidean"])
def test_similarity_is_that_of_dense_vectors(folder: Path, splade: SparseEncoder, name: str) -> None:
    model = sparse_encoder(folder, similarity_fn_name=name)
    a, b = splade.encode(TEXTS), splade.encode(TEXTS[:2])
    exact = a.toarray().astype(np.float64), b.toarray().astype(np.float64)
    products = exact[0] @ exact[1].T
    norms = np.outer(*(np.linalg.norm(each, axis=1) for each in exact))
    distances = np.linalg.norm(exact[0][:, None] - exact[1][None], axis=-1)
    expected = {"dot": products, "cosine": products / norms, "euclidean": -distances}[name]
    np.testing.assert_allclose(model.similarity(a, b), expected, rtol=1e-6, atol=1e-4)
    pairwise = model.similarity_pairwise(a[:2], b)
    np.testing.assert_allclose(pairwise, np.diag(expected[:2]), rtol=1e-6, atol=1e-4)


def test_vectors_that_cannot_be_compared_are_refused(splade: SparseEncoder) -> None:
    with pytest.raises(mj.InputError, match="the vectors have 30522 and 3 dimensions"):
        splade.similarity(splade.encode("a"), np.ones((1, 3)))
    with pytest.raises(mj.InputError, match="they must be equal"):
        splade.similarity_pairwise(splade.encode("a"), splade.encode(TEXTS))
    with pytest.raises(mj.InputError, match="sparse vectors have dot, cosine, euclidean"):
        SparseEncoder(splade.params, tokenizer=splade.tokenizer, similarity_fn_name="manhattan")


def test_decode_returns_tokens_by_weight(splade: SparseEncoder) -> None:
    vectors = splade.encode(TEXTS[:2])
    first, second = splade.decode(vectors)
    weights = vectors.toarray()
    assert first[0][1] == weights[0].max()
    assert len(second) == np.count_nonzero(weights[1])
    assert first[0][0] == splade.tokenizer.tokens_of([int(weights[0].argmax())])[0]
    assert splade.decode(vectors, top_k=3) == [first[:3], second[:3]]
    with pytest.raises(mj.InputError, match="the vectors have 3 dimensions"):
        splade.decode(np.ones(3))


def test_queries_and_documents_have_their_prompts(folder: Path, splade: SparseEncoder) -> None:
    model = sparse_encoder(folder, prompts={"query": "q: ", "passage": "p: ", "document": "d: "})
    for found, text in ((model.encode_query("a"), "q: a"), (model.encode_document("a"), "d: a")):
        np.testing.assert_array_equal(found.toarray(), splade.encode(text).toarray())


def test_saved_model_loads_unchanged(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SPLADE, sparse_head=mj.SparseHead("sum", "log1p_relu"))
    model = sparse_encoder(folder, config, max_active_dims=9, similarity_fn_name="cosine")
    model.save_pretrained(tmp_path / "model")
    loaded = mj.SparseEncoder(tmp_path / "model")
    assert (loaded.config, loaded.max_active_dims, loaded.similarity_fn_name) == (
        config,
        9,
        "cosine",
    )
    for path, leaf in flatten(loaded.params).items():
        np.testing.assert_array_equal(leaf, flatten(model.params)[path])
    np.testing.assert_array_equal(loaded.encode(TEXTS).toarray(), model.encode(TEXTS).toarray())


def test_copies_and_pickles_give_equal_vectors(splade: SparseEncoder) -> None:
    expected = splade.encode(TEXTS).toarray()
    for other in (copy.copy(splade), pickle.loads(pickle.dumps(splade))):
        np.testing.assert_array_equal(other.encode(TEXTS).toarray(), expected)


def test_model_of_another_kind_is_refused(folder: Path, splade: SparseEncoder) -> None:
    with pytest.raises(mj.InputError, match=r"load it with minilm_jax\.CrossEncoder"):
        mj.SparseEncoder(cross_encoder(folder, RERANKER).params, tokenizer=splade.tokenizer)
    with pytest.raises(mj.InputError, match=r"load it with minilm_jax\.SparseEncoder"):
        mj.SentenceEncoder(splade.params, tokenizer=splade.tokenizer)
    with pytest.raises(mj.ModelFileError, match="contains no language model"):
        mj.SparseEncoder(folder)


QUESTIONS = {
    "How many people live in Berlin?": "Berlin had a population of 3,520,031 registered inhabitants.",
    "symptoms of the flu": "Influenza causes fever, cough and a sore throat.",
    "capital of France": "Paris is the capital and largest city of France.",
    "who wrote hamlet": "Hamlet is a tragedy by William Shakespeare.",
}


def test_real_model_finds_the_answers_to_questions() -> None:
    model = mj.SparseEncoder()
    queries, documents = model.encode_query(list(QUESTIONS)), model.encode_document(list(QUESTIONS.values()))
    assert model.similarity(queries, documents).argmax(axis=1).tolist() == [0, 1, 2, 3]
    # The best tokens of a query are its own words; others are related words.
    assert {"hamlet", "wrote"} & {token for token, _ in model.decode(queries[3:], top_k=4)[0]}
    assert queries.nnz < 4 * 300


def test_missing_files_are_not_downloaded_with_local_files_only(tmp_path: Path) -> None:
    with pytest.raises(mj.ModelFileError, match="load it once without local_files_only"):
        mj.SparseEncoder(local_files_only=True, cache_dir=tmp_path)
