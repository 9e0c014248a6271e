"""`CrossEncoder`: results, keywords and errors. `make test-peers` compares them with sentence-transformers."""

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.nn.params import flatten
from tests.helpers.small_heads import NLI, RERANKER, SMALL, cross_encoder
from tests.helpers.tiny_model import random_params
from tests.helpers.tolerances import TOKEN_VECTORS

PAIRS = [
    ("How many people live in Berlin?", "Berlin had a population of 3,520,031 in 2019."),
    ("How many people live in Berlin?", "Berlin is well known for its museums."),
    ("", "an empty query"),
    ("an empty document", ""),
]
LONG = ("short", "long " * 50)


def close(found: Any, wanted: Any) -> bool:
    return np.shape(found) == np.shape(wanted) and np.allclose(found, wanted, rtol=0, atol=TOKEN_VECTORS)


@pytest.fixture(scope="module")
def reranker(folder: Path) -> CrossEncoder:
    return cross_encoder(folder)


@pytest.fixture(scope="module")
def nli(folder: Path) -> CrossEncoder:
    return cross_encoder(folder, NLI)


def logits(model: CrossEncoder, pairs: list[tuple[str, str]]) -> Any:
    return np.asarray(jax.jit(mj.classify)(model.params, model.tokenize(pairs)))


def test_scores_are_the_activated_logits_of_classify(reranker: CrossEncoder, nli: CrossEncoder) -> None:
    expected = logits(reranker, PAIRS)
    assert close(reranker.predict(PAIRS, activation_fn="identity"), expected[:, 0])
    assert close(reranker.predict(PAIRS), 1 / (1 + np.exp(-expected[:, 0])))
    assert close(nli.predict(PAIRS), logits(nli, PAIRS))


def test_one_pair_gives_one_score(reranker: CrossEncoder, nli: CrossEncoder) -> None:
    for pair in (PAIRS[0], list(PAIRS[0]), np.array(PAIRS[0])):
        assert close(reranker.predict(pair), reranker.predict(PAIRS)[0])
    assert nli.predict(PAIRS[0]).shape == (3,)


def test_empty_list_gives_an_empty_array(reranker: CrossEncoder, nli: CrossEncoder) -> None:
    assert reranker.predict([]).shape == (0,)
    assert nli.predict([]).shape == (0, 3)
    assert reranker.rank("a", []) == []


def test_pairs_are_any_iterable(reranker: CrossEncoder) -> None:
    expected = reranker.predict(PAIRS)
    for pairs in (iter(PAIRS), np.array(PAIRS), [list(pair) for pair in PAIRS], tuple(PAIRS)):
        assert close(reranker.predict(pairs), expected)


def test_score_does_not_depend_on_other_pairs(reranker: CrossEncoder) -> None:
    together = reranker.predict(PAIRS * 3)
    assert close([reranker.predict(pair) for pair in PAIRS * 3], together)
    assert close(reranker.predict(PAIRS, batch_size=1), together[: len(PAIRS)])


def test_token_types_change_the_ranking(folder: Path) -> None:
    # A model that reads both texts as the first one ranks other documents first.
    model = cross_encoder(folder)
    batch = model.tokenize([("one two", f"{word} three") for word in "abcdefghij"])
    right = np.asarray(mj.classify(model.params, batch))[:, 0]
    wrong = np.asarray(mj.classify(model.params, {**batch, "token_type_ids": np.zeros_like(batch["input_ids"])}))[:, 0]
    assert not np.array_equal(np.argsort(right), np.argsort(wrong))


def test_activation_is_a_name_or_a_function(nli: CrossEncoder) -> None:
    plain = nli.predict(PAIRS)
    exponents = np.exp(plain - plain.max(axis=1, keepdims=True))
    shares = exponents / exponents.sum(axis=1, keepdims=True)
    assert close(nli.predict(PAIRS, activation_fn="softmax"), shares)
    assert close(nli.predict(PAIRS, apply_softmax=True), shares)
    assert close(nli.predict(PAIRS, activation_fn=jax.nn.softmax), shares)
    assert close(nli.predict(PAIRS, activation_fn="tanh"), np.tanh(plain))
    with pytest.raises(mj.InputError, match="Did you mean 'sigmoid'"):
        nli.predict(PAIRS, activation_fn="sigmoed")  # pyright: ignore[reportArgumentType]
    with pytest.raises(mj.InputError, match="returned the shape"):
        nli.predict(PAIRS, activation_fn=lambda logits: logits[:1])


def test_large_logits_do_not_overflow(reranker: CrossEncoder) -> None:
    big = reranker.params | {"classifier": jax.tree.map(lambda x: 1e4 * x, reranker.params["classifier"])}
    with np.errstate(all="raise", under="ignore"):
        scores = CrossEncoder(big, tokenizer=reranker.tokenizer, max_seq_length=40).predict(PAIRS)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_results_are_numpy_or_jax_arrays(reranker: CrossEncoder) -> None:
    expected = reranker.predict(PAIRS)
    tensor = reranker.predict(PAIRS, convert_to_tensor=True)
    assert isinstance(tensor, jax.Array)
    assert close(tensor, expected)
    listed = reranker.predict(PAIRS, convert_to_numpy=False)
    assert [x.shape for x in listed] == [()] * len(PAIRS)
    assert isinstance(expected, np.ndarray)


def test_rank_sorts_documents(reranker: CrossEncoder) -> None:
    documents = ["one", "two", "three", "four", "one"]
    scores = reranker.predict([("query", document) for document in documents])
    found = reranker.rank("query", documents)
    assert [hit["corpus_id"] for hit in found] == np.argsort(-scores, kind="stable").tolist()
    assert close([hit["score"] for hit in found], -np.sort(-scores))
    best = reranker.rank("query", documents, top_k=2, return_documents=True)
    assert [hit.get("text") for hit in best] == [documents[hit["corpus_id"]] for hit in found[:2]]
    assert "text" not in found[0]


def test_query_that_is_not_a_text_is_named(reranker: CrossEncoder) -> None:
    query: Any = None
    with pytest.raises(mj.InputError, match="query: text 0 is NoneType"):
        reranker.rank(query, ["document"])


def test_rank_needs_one_label(nli: CrossEncoder) -> None:
    with pytest.raises(mj.InputError, match="the model has 3 labels"):
        nli.rank("query", ["document"])


def test_prompt_is_put_before_the_first_text(folder: Path, reranker: CrossEncoder) -> None:
    prompted = cross_encoder(folder, prompts={"q": "query: "}, default_prompt_name="q")
    expected = reranker.predict([("query: a", "b")])
    assert close(prompted.predict([("a", "b")]), expected)
    assert close(reranker.predict([("a", "b")], prompt="query: "), expected)
    with pytest.raises(mj.InputError, match="no prompt is named 'x'"):
        reranker.predict([("a", "b")], prompt_name="x")


def test_calls_with_the_keywords_of_sentence_transformers(folder: Path, reranker: CrossEncoder, tmp_path: Path) -> None:
    reranker.save_pretrained(tmp_path / "model")
    model: Any = mj.CrossEncoder
    loaded = model(model_name_or_path=tmp_path / "model", max_length=30, num_labels=1, device=jax.default_backend())
    assert loaded.max_seq_length == 30
    assert close(
        loaded.predict(sentences=PAIRS[:2], batch_size=8, show_progress_bar=False), reranker.predict(PAIRS[:2])
    )
    with pytest.raises(mj.InputError, match="num_labels is 2, but the model has 1"):
        model(tmp_path / "model", num_labels=2)


def test_saved_model_loads_unchanged(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(NLI, classifier=mj.Classifier(("no", "yes", "perhaps"), scores="tanh"))
    model = cross_encoder(folder, config, prompts={"query": "q: "})
    model.save_pretrained(tmp_path / "model")
    loaded = mj.CrossEncoder(tmp_path / "model")
    assert (loaded.config, loaded.prompts, loaded.max_seq_length) == (config, model.prompts, 40)
    assert loaded.id2label == {0: "no", 1: "yes", 2: "perhaps"}
    for path, leaf in flatten(loaded.params).items():
        np.testing.assert_array_equal(leaf, flatten(model.params)[path])
    np.testing.assert_array_equal(loaded.predict(PAIRS), model.predict(PAIRS))


def test_cross_encoder_replaces_an_encoder_in_a_folder(
    encoder: mj.SentenceEncoder, folder: Path, tmp_path: Path
) -> None:
    encoder.save_pretrained(tmp_path / "model")
    model = cross_encoder(folder)
    model.save_pretrained(tmp_path / "model")
    assert mj.CrossEncoder(tmp_path / "model").config == dataclasses.replace(
        RERANKER, classifier=mj.Classifier(("LABEL_0",), scores="sigmoid")
    )
    encoder.save_pretrained(tmp_path / "model")
    assert mj.SentenceEncoder(tmp_path / "model").config == encoder.config


def test_copies_and_pickles_give_equal_scores(reranker: CrossEncoder) -> None:
    expected = reranker.predict(PAIRS)
    for other in (copy.copy(reranker), copy.deepcopy(reranker), pickle.loads(pickle.dumps(reranker))):
        np.testing.assert_array_equal(other.predict(PAIRS), expected)


def test_stats_count_pairs_and_truncation_is_reported_once(folder: Path) -> None:
    model = cross_encoder(folder)
    with pytest.warns(UserWarning, match="1 of 5 pairs are longer than 40 tokens"):
        model.predict([*PAIRS, LONG])
    model.predict([*PAIRS, LONG])
    assert (model.stats.texts, model.stats.truncated) == (10, 2)
    assert model.stats.padding < 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_other_precisions_give_almost_equal_logits(folder: Path, precision: Any) -> None:
    exact = cross_encoder(folder, activation_fn="identity")
    rounded = CrossEncoder(
        mj.cast(exact.params, precision), tokenizer=exact.tokenizer, max_seq_length=40, activation_fn="identity"
    )
    expected = exact.predict(PAIRS)
    # bfloat16 rounds to 1/256, and int8 to 1/127 of the largest weight.
    np.testing.assert_allclose(rounded.predict(PAIRS), expected, rtol=0, atol=0.1 * np.abs(expected).max())


@pytest.mark.parametrize("token_types", [1, 2])
def test_warm_up_makes_the_programs_for_pairs(folder: Path, token_types: int) -> None:
    model = cross_encoder(folder, dataclasses.replace(RERANKER, type_vocab_size=token_types))
    model.warm_up(lengths=(10, 20), batch_sizes=(1, 8))
    before = model.stats.compilations
    model.predict(PAIRS[:2])
    model.predict(PAIRS[0])
    assert model.stats.compilations == before


def test_model_of_another_kind_is_refused(folder: Path, encoder: mj.SentenceEncoder, reranker: CrossEncoder) -> None:
    with pytest.raises(mj.InputError, match="has no classifier"):
        mj.CrossEncoder(random_params(SMALL, seed=1), tokenizer=encoder.tokenizer)
    with pytest.raises(mj.InputError, match=r"load it with minilm_jax\.CrossEncoder"):
        mj.SentenceEncoder(reranker.params, tokenizer=encoder.tokenizer)
    with pytest.raises(mj.InputError, match="has no classifier"):
        mj.CrossEncoder(folder)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("text", "pairs is str"),
        ([("a",)], r"pair 0 is \('a',\); it must be two texts"),
        ([("a", "b"), ("a", None)], "pair 1: text 1 is NoneType"),
        ([("a", "b", "c")], "pair 0"),
        ({"a": "b"}, "pairs is dict"),
    ],
)
def test_item_that_is_not_a_pair_is_named(reranker: CrossEncoder, pairs: Any, message: str) -> None:
    with pytest.raises(mj.InputError, match=message):
        reranker.predict(pairs)


def test_programs_are_few_for_any_lengths_and_sizes(folder: Path) -> None:
    model, random = cross_encoder(folder), np.random.default_rng(4)
    for count in (1, 2, 3, 70, 1, 300, 5):
        lengths = random.integers(0, 18, (count, 2))
        model.predict([("a " * first, "b " * second) for first, second in lengths.tolist()])
    assert model.stats.compilations <= 8


def test_several_devices_give_equal_scores(folder: Path, reranker: CrossEncoder) -> None:
    model = CrossEncoder(reranker.params, tokenizer=reranker.tokenizer, max_seq_length=40, devices="all")
    assert model.stats.computed_in == "float32"
    assert close(model.predict(PAIRS * 20), reranker.predict(PAIRS * 20))
