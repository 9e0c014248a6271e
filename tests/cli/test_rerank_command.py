"""`minilm-jax rerank` and `search --rerank`, with a small cross-encoder of random weights."""

import inspect
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_CROSS_ENCODER
from minilm_jax.cli import model_command
from tests.helpers.command_line import run_command as run
from tests.helpers.small_heads import NLI, cross_encoder
from tests.helpers.tolerances import UNIT_VECTORS

QUERY = "Who plays music?"
TEXTS = ["The cat sits outside.", "", "A man is playing guitar.", "Rates were raised.", "A parcel arrived."]
ROWS = [1, 3, 4, 5]


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a cross-encoder."""
    path = tmp_path_factory.mktemp("models") / "cross-encoder"
    cross_encoder(folder).save_pretrained(path)
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS))
    return path


@pytest.fixture(scope="module")
def ranked(model: Path) -> list[tuple[int, str, float]]:
    """Row, text and score of every text, the best first, as `CrossEncoder.rank` sorts them."""
    found = mj.CrossEncoder(model).rank(QUERY, [text for text in TEXTS if text])
    return [(row := ROWS[hit["corpus_id"]], TEXTS[row - 1], hit["score"]) for hit in found]


def test_rerank_prints_the_scores_of_rank(model: Path, texts: Path, ranked: list[tuple[int, str, float]]) -> None:
    result = run("rerank", QUERY, "--file", texts, "--model", model)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [f"{score:.3f}  {row:>3}  {text}" for row, text, score in ranked]
    assert result.stdout.splitlines() == ["score  row  text", *lines]


def test_rerank_prints_json(model: Path, texts: Path, ranked: list[tuple[int, str, float]]) -> None:
    hits = json.loads(run("rerank", QUERY, "--file", texts, "--model", model, "--top-k", 2, "--json").stdout)
    assert [(hit["row"], hit["text"]) for hit in hits] == [(row, text) for row, text, _ in ranked[:2]]
    np.testing.assert_allclose([hit["score"] for hit in hits], [score for *_, score in ranked[:2]], atol=UNIT_VECTORS)


def test_rerank_reads_standard_input(model: Path, ranked: list[tuple[int, str, float]]) -> None:
    result = run("rerank", QUERY, "--file", "-", "--model", model, "-k", 1, input="\n".join(TEXTS))
    assert result.stdout.splitlines()[1].endswith(f"{ranked[0][0]}  {ranked[0][1]}")


def test_rerank_reads_a_column_of_a_table(model: Path, tmp_path: Path, ranked: list[tuple[int, str, float]]) -> None:
    rows = "\n".join(f"{row};{text}" for row, text in enumerate(TEXTS))
    (tmp_path / "t.csv").write_text(f"id;body\n{rows}\n")
    options = ["--file", tmp_path / "t.csv", "--text-column", "body", "--delimiter", ";"]
    hits = json.loads(run("rerank", QUERY, *options, "--model", model, "--json").stdout)
    assert [(hit["row"], hit["text"]) for hit in hits] == [(row, text) for row, text, _ in ranked]


def test_rerank_of_a_file_without_texts_is_empty(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n \n")
    assert run("rerank", "a", "--file", tmp_path / "t.txt", "--model", model, "--json").stdout == "[]\n"
    assert run("rerank", "a", "--file", tmp_path / "t.txt", "--model", model).stdout == "score  row  text\n"


def test_truncated_pairs_are_reported_once(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("short\n" + "long " * 50)
    options = ["rerank", "a", "--file", tmp_path / "t.txt", "--model", model, "--max-seq-length", 20]
    assert run(*options).stderr == (
        "1 of 2 pairs were longer than 20 tokens and were truncated; --max-seq-length raises the limit.\n"
    )
    assert run(*options, "--quiet").stderr == ""


def test_search_sorts_the_texts_by_the_scores_of_the_reranker(
    encoder: mj.SentenceEncoder,
    model: Path,
    texts: Path,
    ranked: list[tuple[int, str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: encoder)
    search = ["search", QUERY, "--corpus", texts, "--json"]
    cosines = {hit["row"]: hit["score"] for hit in json.loads(run(*search).stdout)}
    hits = json.loads(run(*search, "--rerank", model, "-k", 3).stdout)
    assert [(hit["row"], hit["text"]) for hit in hits] == [(row, text) for row, text, _ in ranked[:3]]
    np.testing.assert_allclose([hit["rerank_score"] for hit in hits], [x[2] for x in ranked[:3]], atol=UNIT_VECTORS)
    assert [hit["score"] for hit in hits] == pytest.approx([cosines[hit["row"]] for hit in hits])
    lines = run(*search[:-1], "--rerank", model).stdout.splitlines()
    assert lines[0].split() == ["rerank", "score", "row", "text"]
    assert lines[1].split()[:3] == [f"{hits[0]['rerank_score']:.3f}", f"{hits[0]['score']:.3f}", str(hits[0]["row"])]


@pytest.mark.parametrize(("top_k", "candidates"), [(2, 100), (101, 101)])
def test_search_reranks_the_best_hundred_or_as_many_as_are_printed(
    encoder: mj.SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top_k: int, candidates: int
) -> None:
    given: list[str] = []

    class Reranker:
        stats = types.SimpleNamespace(truncated=0)

        def rank(self, query: str, documents: list[str], top_k: int, show_progress_bar: bool | None) -> list[Any]:
            given.extend(documents)
            return [{"corpus_id": len(documents) - 1, "score": 5.0}]

    monkeypatch.setattr(model_command, "load_encoder", lambda *_: encoder)
    monkeypatch.setattr(model_command, "load_cross_encoder", lambda *_: Reranker())
    (tmp_path / "t.txt").write_text("\n".join(f"number {i}" for i in range(120)))
    search = ["search", "number 7", "--corpus", tmp_path / "t.txt", "--json"]
    retrieved = [hit["text"] for hit in json.loads(run(*search, "-k", candidates).stdout)]
    (hit,) = json.loads(run(*search, "-k", top_k, "--rerank", "fake").stdout)
    assert given == retrieved
    assert (hit["text"], hit["rerank_score"]) == (retrieved[-1], 5.0)


def test_options_of_the_model_apply_to_the_reranker_of_search(
    encoder: mj.SentenceEncoder, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[object, ...]] = []
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: encoder)
    monkeypatch.setattr(model_command, "load_cross_encoder", lambda *given: loaded.append(given) or 1 / 0)
    run("search", "a", "--corpus", texts, "--rerank", "some/model", "--precision", "int8", "--max-seq-length", 64)
    assert loaded == [("some/model", None, "int8", 64)]
    assert not texts.with_suffix(".txt.index").exists()  # The reranker is loaded before the texts are embedded.


def test_models_that_do_not_rank_are_errors_without_traceback(folder: Path, tmp_path: Path, texts: Path) -> None:
    cross_encoder(folder, NLI).save_pretrained(tmp_path / "nli")
    for model, message in ((tmp_path / "nli", "3 labels"), (folder, "has no classifier")):
        result = run("rerank", "a", "--file", texts, "--model", model)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
        assert message in result.stderr


def test_default_model_is_that_of_the_class() -> None:
    assert inspect.signature(mj.CrossEncoder).parameters["source"].default == DEFAULT_CROSS_ENCODER
