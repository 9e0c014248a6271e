"""The `minilm-jax search` command."""

import json
from typing import Any

import click

from minilm_jax.cli import model_command
from minilm_jax.cli.corpus_command import Corpus, corpus_command
from minilm_jax.cli.parameter_types import ExistingPath
from minilm_jax.cli.streams import print_result
from minilm_jax.cli.terminal import render_texts
from minilm_jax.cli.text_input import note_file_names

_MIN_CANDIDATES = 100


@click.command()
@click.argument("query")
@click.option(
    "--corpus",
    required=True,
    type=ExistingPath(dir_okay=False),
    help="The .txt, .jsonl, .csv, .tsv or .parquet file to search.",
)
@click.option(
    "--top-k", "-k", type=click.IntRange(min=1), default=10, show_default=True, help="Maximum texts to print."
)
@click.option(
    "--rerank",
    "reranker",
    metavar="MODEL",
    help=f"Cross-encoder that sorts the best {_MIN_CANDIDATES} texts again; a name on the hub, or a folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of row, text and score; also rerank_score.")
@corpus_command
def search(corpus: Corpus, query: str, top_k: int, reranker: str | None, as_json: bool) -> None:
    """Print the texts of a file that are most similar to a query.

    \b
      minilm-jax search "how to get my money back" --corpus questions.txt
      minilm-jax search "broken on arrival" --corpus reviews.csv --text-column review -k 3 --json
      minilm-jax search "a refund" --corpus questions.txt --rerank cross-encoder/ms-marco-MiniLM-L6-v2

    Rows are counted from 1; in a .txt file, a row is a line. Blank texts are skipped. The embeddings are saved in
    FILE.index, so that a later search of the same file embeds only texts that are new.

    The score is the cosine similarity. With --rerank, the texts are sorted by the score of the cross-encoder, which is
    printed first; `minilm-jax rerank -h` explains its scale. --precision and --max-seq-length apply to both models,
    --revision only to --model.
    """
    note_file_names([query])
    entries = _retrieve(corpus, query, top_k) if reranker is None else _rerank(corpus, query, top_k, reranker)
    if as_json:
        print_result(json.dumps(entries, ensure_ascii=False))
        return
    titles = {"score": "score"} if reranker is None else {"rerank_score": "rerank", "score": "score"}
    lines = [(*(f"{entry[name]:.3f}" for name in titles), str(entry["row"]), entry["text"]) for entry in entries]
    print_result(render_texts(list(titles.values()), lines))


def _retrieve(corpus: Corpus, query: str, top_k: int) -> list[dict[str, Any]]:
    hits = corpus.index.search(query, top_k)
    return [{**corpus.entry(hit["corpus_id"]), "score": hit["score"]} for hit in hits]


def _rerank(corpus: Corpus, query: str, top_k: int, model: str) -> list[dict[str, Any]]:
    # An error of the reranker is reported before the corpus is embedded.
    reranker = model_command.load_cross_encoder(model, None, corpus.precision, corpus.max_seq_length)
    entries = _retrieve(corpus, query, max(top_k, _MIN_CANDIDATES))
    texts = [entry["text"] for entry in entries]
    best = reranker.rank(query, texts, top_k, show_progress_bar=corpus.show_progress_bar)
    model_command.report_truncation(reranker, "pairs")
    return [{**entries[each["corpus_id"]], "rerank_score": each["score"]} for each in best]
