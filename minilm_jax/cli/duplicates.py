"""`minilm-jax duplicates`."""

import json

import click

from minilm_jax.cli.corpus_command import COSINE_ROUNDING, Corpus, corpus_command
from minilm_jax.cli.parameter_types import ExistingPath


@click.command()
@click.argument("corpus", type=ExistingPath(dir_okay=False), metavar="FILE")
@click.option(
    "--threshold", type=click.FloatRange(-1, 1), default=0.9, show_default=True, help="The least cosine of a pair."
)
@click.option("--most", type=click.IntRange(min=1), default=50, show_default=True, help="Most pairs to print.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of all pairs, with score, rows and texts.")
@corpus_command
def duplicates(corpus: Corpus, threshold: float, most: int, as_json: bool) -> None:
    """Print the pairs of texts of a file that say the same, or nearly so.

    \b
      minilm-jax duplicates questions.txt
      minilm-jax duplicates reviews.csv --field review --threshold 0.8

    Row counts the texts of the file from 1; of a .txt file it is the line. The index is kept as `search` keeps it.
    """
    from minilm_jax.cli.terminal import render_texts
    from minilm_jax.search import dot_score, paraphrase_mining_embeddings

    found = paraphrase_mining_embeddings(
        corpus.index.vectors, score_function=dot_score, show_progress_bar=corpus.show_progress_bar
    )
    pairs = [
        (score, corpus.entry(int(i)), corpus.entry(int(j)))
        for score, i, j in found
        if score >= threshold - COSINE_ROUNDING
    ]
    if as_json:
        entries = [{"score": s, "rows": [a["row"], b["row"]], "texts": [a["text"], b["text"]]} for s, a, b in pairs]
        click.echo(json.dumps(entries, ensure_ascii=False))
        return
    lines = []
    for score, first, second in pairs[:most]:
        lines += [(f"{score:.3f}", str(first["row"]), first["text"]), ("", str(second["row"]), second["text"])]
    click.echo(render_texts("score", lines))
    more = f" --most {len(pairs)} prints all." if len(pairs) > most else ""
    click.echo(f"\nPairs with a cosine of {threshold} or more: {len(pairs):,}, of {len(corpus.rows):,} texts.{more}")
