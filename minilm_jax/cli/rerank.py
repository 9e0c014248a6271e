"""The `minilm-jax rerank` command."""

import json

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.parameter_types import ExistingPath
from minilm_jax.cli.streams import check_stdout, print_result
from minilm_jax.cli.terminal import render_texts
from minilm_jax.cli.text_input import text_input, text_input_options
from minilm_jax.config import Precision, TextFormat


@click.command()
@click.argument("query")
@click.option(
    "--file",
    required=True,
    type=ExistingPath(dir_okay=False, allow_dash=True),
    help="The .txt, .jsonl, .csv, .tsv or .parquet file to rank, or standard input (-).",
)
@click.option(
    "--top-k", "-k", type=click.IntRange(min=1), default=10, show_default=True, help="Maximum texts to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of row, text and score.")
@text_input_options
@model_command.cross_encoder_options
@quiet_option
def rerank(
    query: str,
    file: str,
    top_k: int,
    as_json: bool,
    text_column: str | None,
    delimiter: str | None,
    input_format: TextFormat | None,
    model: str,
    revision: str | None,
    precision: Precision,
    max_seq_length: int | None,
) -> None:
    """Print the texts of a file that match a query best, by a cross-encoder.

    \b
      minilm-jax rerank "how to get my money back" --file answers.txt
      minilm-jax rerank "broken on arrival" --file reviews.csv --text-column review -k 3 --json
      grep -i refund answers.txt | minilm-jax rerank "how to get my money back" --file -

    A cross-encoder reads the query together with each text, so it is more accurate than `search`, but every text costs
    time for every query. For files of more than a few hundred texts, use `search --rerank MODEL`.

    Higher scores are better. Their scale depends on the model: the default model and other ms-marco models return
    logits, about -11 to 11; models whose config names no activation function return 0 to 1, by a sigmoid.
    `CrossEncoder.rank` returns the same scores.

    Rows are counted from 1; in a .txt file, a row is a line. Blank texts are skipped.
    """
    check_stdout()
    texts = text_input(file, input_format, text_column, delimiter).read_rows(file)
    reranker = model_command.load_cross_encoder(model, revision, precision, max_seq_length)
    with model_command.warnings_as_notes():
        show = False if progress.silenced() else None
        found = reranker.rank(query, texts.values(), top_k, show_progress_bar=show)
    rows = [{"row": row, "text": text} for row, text in texts.items()]
    entries = [{**rows[hit["corpus_id"]], "score": hit["score"]} for hit in found]
    if as_json:
        print_result(json.dumps(entries, ensure_ascii=False))
    else:
        lines = [(f"{entry['score']:.3f}", str(entry["row"]), entry["text"]) for entry in entries]
        print_result(render_texts(["score"], lines))
    model_command.report_truncation(reranker, "pairs")
