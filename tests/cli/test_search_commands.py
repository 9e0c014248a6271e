"""`minilm-jax search`, `cluster` and `duplicates`, on the real model."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import minilm_jax as mj
from minilm_jax.cli import model_command, terminal
from tests.helpers.command_line import run_command as run

TEXTS = """How do I reset my password?
I forgot my password, what now?

The parcel arrived broken.
My package was damaged on arrival.
The cat sits outside.
The cat sits outside."""


@pytest.fixture
def embedded(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Function that returns how many texts, queries included, the commands have embedded."""
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: encoder)
    before = encoder.stats.texts
    return lambda: encoder.stats.texts - before


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text(TEXTS)
    return path


def test_search_prints_scores_rows_and_texts(embedded: Callable[[], int], corpus: Path) -> None:
    result = run("search", "cannot log in", "--corpus", corpus, "-k", 2)
    lines = result.stdout.splitlines()
    assert lines[0] == "score  row  text"
    assert [line[7:] for line in lines[1:]] == [
        "  1  How do I reset my password?",
        "  2  I forgot my password, what now?",
    ]
    hits = json.loads(run("search", "a damaged parcel", "--corpus", corpus, "--json").stdout)
    assert [hit["row"] for hit in hits[:2]] in ([4, 5], [5, 4])
    assert [hit["text"] for hit in hits[:2]] == [TEXTS.splitlines()[hit["row"] - 1] for hit in hits[:2]]
    assert len(hits) == 6
    assert hits[0]["score"] > hits[-1]["score"]


def test_saved_index_is_reused_and_only_new_texts_are_embedded(embedded: Callable[[], int], corpus: Path) -> None:
    for command in (["search", "cat", "--corpus"], ["cluster"], ["duplicates"]):
        assert run(*command, corpus).exit_code == 0
    assert embedded() == 5 + 1  # Two of the six texts are equal; the query is one more.
    corpus.write_text(f"Dogs bark.\n{TEXTS}")
    hits = json.loads(run("search", "dogs", "--corpus", corpus, "--json").stdout)
    assert hits[0]["row"] == 1
    assert embedded() == 6 + 1 + 1
    assert {path.name for path in corpus.parent.iterdir()} == {"texts.txt", "texts.txt.index"}


def test_csv_corpus_and_index_folder_can_be_chosen(embedded: Callable[[], int], tmp_path: Path) -> None:
    corpus, index = tmp_path / "t.csv", tmp_path / "deep" / "index"
    corpus.write_text('id,review\n1,"two\nlines"\n2,one\n')
    result = run("search", "one", "--corpus", corpus, "--text-column", "review", "--index", index, "-k", 1)
    assert result.stdout.splitlines()[1].split() == ["1.000", "2", "one"]
    assert index.is_dir()
    assert os.listdir(tmp_path) in (["t.csv", "deep"], ["deep", "t.csv"])


def test_index_of_another_model_is_rebuilt(
    embedded: Callable[[], int],
    encoder: mj.SentenceEncoder,
    corpus: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("search", "cat", "--corpus", corpus)
    other = mj.SentenceEncoder(folder, max_seq_length=128)
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: other)
    result = run("search", "cat", "--corpus", corpus)
    assert result.exit_code == 0
    assert "note: the saved index is not used and all texts are embedded again" in result.stderr
    assert run("search", "cat", "--corpus", corpus).stderr == ""
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: encoder)
    assert run("search", "cat", "--corpus", corpus, "--quiet").stderr == ""


def test_search_works_if_the_index_cannot_be_saved(embedded: Callable[[], int], corpus: Path) -> None:
    (corpus.parent / "texts.txt.index").write_text("a thesis")
    result = run("search", "cat", "--corpus", corpus, "-k", 1)
    assert "The cat sits outside." in result.stdout
    assert "note: the index is not saved; choose another folder with --index" in result.stderr
    assert (corpus.parent / "texts.txt.index").read_text() == "a thesis"


def test_cluster_prints_groups_of_similar_texts(embedded: Callable[[], int], corpus: Path) -> None:
    lines = run("cluster", corpus, "--min-size", 2, "--threshold", 0.5).stdout.splitlines()
    assert lines[0] == "size  row  text"
    assert {line[:4].strip() for line in lines[1:7]} == {"2", ""}
    assert lines[-1] == "Clusters: 3, with 6 of 6 texts."
    clusters = json.loads(run("cluster", corpus, "--min-size", 2, "--threshold", 0.5, "--json").stdout)
    assert sorted(sorted(text["row"] for text in each) for each in clusters) == [[1, 2], [4, 5], [6, 7]]


def test_cluster_shows_five_texts_of_a_large_cluster(embedded: Callable[[], int], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a cat\n" * 9)
    lines = run("cluster", tmp_path / "t.txt").stdout.splitlines()
    assert lines[1:7] == ["   9    1  a cat", *(f"      {i:>3}  a cat" for i in range(2, 6)), "           … 4 more"]
    assert len(run("cluster", tmp_path / "t.txt", "--all").stdout.splitlines()) == 1 + 9 + 2


def test_duplicates_prints_pairs_above_the_threshold(embedded: Callable[[], int], corpus: Path) -> None:
    lines = run("duplicates", corpus).stdout.splitlines()
    assert lines[:3] == ["score  row  text", "1.000    6  The cat sits outside.", "         7  The cat sits outside."]
    assert lines[-1] == "Pairs with a cosine of 0.9 or more: 1, of 6 texts."
    assert (
        "15, of 6 texts. --most 15 prints all pairs."
        in run("duplicates", corpus, "--most", 2, "--threshold", -1).stdout
    )
    pairs = json.loads(run("duplicates", corpus, "--threshold", 1, "--json").stdout)
    assert [(pair["rows"], pair["texts"]) for pair in pairs] == [([6, 7], ["The cat sits outside."] * 2)]


def test_duplicates_finds_all_pairs_of_identical_lines(embedded: Callable[[], int], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("the same line\n" * 150)
    lines = run("duplicates", tmp_path / "t.txt").stdout.splitlines()
    assert len(lines) == 1 + 2 * 50 + 2
    assert lines[-1].endswith(": 11,175, of 150 texts. --most 11175 prints all pairs. Not shown: 11,125.")
    pairs = json.loads(run("duplicates", tmp_path / "t.txt", "--json").stdout)
    assert sorted(pair["rows"] for pair in pairs) == [[i, j] for i in range(1, 151) for j in range(i + 1, 151)]
    limited = run("duplicates", tmp_path / "t.txt", "--json", "--most", 2)
    assert [pair["rows"] for pair in json.loads(limited.stdout)] == [[1, 2], [1, 3]]
    assert limited.stderr == "note: 11,173 more pairs were found; --most 11175 prints all pairs.\n"


def test_top_k_may_be_larger_than_the_corpus(embedded: Callable[[], int], corpus: Path) -> None:
    assert len(json.loads(run("search", "cat", "--corpus", corpus, "-k", 5_000, "--json").stdout)) == 6


def test_file_without_texts_gives_empty_results(embedded: Callable[[], int], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n \n")
    assert run("search", "a", "--corpus", tmp_path / "t.txt", "--json").stdout == "[]\n"
    assert run("search", "a", "--corpus", tmp_path / "t.txt").stdout == "score  row  text\n"
    assert run("cluster", tmp_path / "t.txt").stdout.endswith("Clusters: 0, with 0 of 0 texts.\n")
    assert run("duplicates", tmp_path / "t.txt", "--json").stdout == "[]\n"
    assert run("duplicates", tmp_path / "t.txt").stdout.endswith(": 0, of 0 texts.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "a"], 2, "--corpus"),
        (["search", "a", "--corpus", "none.txt"], 2, "does not exist"),
        (["search", "a", "--corpus", "x.log"], 2, "name the format with --from"),
        (["cluster", "x.jsonl"], 1, "line 1: not JSON"),
        (["duplicates", "x.jsonl", "--threshold", "2"], 2, "--threshold"),
        (["rerank", "a"], 2, "Missing option '--file'"),
        (["rerank", "a", "--file", "none.txt"], 2, "does not exist"),
        (["rerank", "a", "--file", "x.log"], 2, "name the format with --from"),
        (["rerank", "a", "--file", "x.jsonl"], 1, "line 1: not JSON"),
        (["rerank", "a", "--file", "x.jsonl", "-k", "0"], 2, "--top-k"),
    ],
)
def test_errors_appear_before_the_model_is_loaded(
    no_model: None, arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.log", "x.jsonl"):
        (tmp_path / name).write_text("{")
    result = run(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())


def test_table_in_a_terminal_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    table = terminal.render_texts(
        ["score"], [("0.5", "1", "犬 " * 20), ("", "12", "line\nend"), ("", "3", "x" * 10**6)]
    )
    assert table.splitlines() == [
        "score  row  text",
        "  0.5    1  犬 犬 犬 犬 犬 犬…",
        "        12  line end",
        "         3  " + "x" * 17 + "…",
    ]
