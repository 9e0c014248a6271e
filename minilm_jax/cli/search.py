"""The `minilm-jax search` command."""

import json

import click

from minilm_jax.cli.corpus_command import Corpus, corpus_command
from minilm_jax.cli.parameter_types import ExistingPath
from minilm_jax.cli.streams import print_result
from minilm_jax.cli.terminal import render_texts
from minilm_jax.cli.text_input import note_file_names


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of row, text and score.")
@corpus_command
def search(corpus: Corpus, query: str, top_k: int, as_json: bool) -> None:
    """Print the texts of a file that are most similar to a query.

    \b
      minilm-jax search "how to get my money back" --corpus questions.txt
      minilm-jax search "broken on arrival" --corpus reviews.csv --text-column review -k 3 --json

    Rows are counted from 1; in a .txt file, a row is a line. Blank texts are skipped. The embeddings are saved in
    FILE.index, so that a later search of the same file embeds only texts that are new.
    """
    note_file_names([query])
    hits = corpus.index.search(query, top_k)
    entries = [{**corpus.entry(hit["corpus_id"]), "score": hit["score"]} for hit in hits]
    if as_json:
        print_result(json.dumps(entries, ensure_ascii=False))
    else:
        rows = [(f"{entry['score']:.3f}", str(entry["row"]), entry["text"]) for entry in entries]
        print_result(render_texts("score", rows))
