"""The `minilm-jax duplicates` command."""

import json

import click

from minilm_jax.cli.corpus_command import Corpus, corpus_command
from minilm_jax.cli.parameter_types import ExistingPath
from minilm_jax.cli.terminal import render_texts


@click.command()
@click.argument("corpus", type=ExistingPath(dir_okay=False), metavar="FILE")
@click.option(
    "--threshold",
    type=click.FloatRange(-1, 1),
    default=0.9,
    show_default=True,
    help="Minimum cosine similarity of a pair.",
)
@click.option(
    "--most", "max_pairs", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum pairs to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of all pairs, with score, rows and texts.")
@corpus_command
def duplicates(corpus: Corpus, threshold: float, max_pairs: int, as_json: bool) -> None:
    """Print pairs of texts in a file that have the same or nearly the same meaning.

    \b
      minilm-jax duplicates questions.txt
      minilm-jax duplicates reviews.csv --field review --threshold 0.8

    Pairs are printed by decreasing cosine similarity. Rows are counted from 1; in a .txt file, a row is a line. The
    embeddings are saved in FILE.index and reused by later commands.
    """
    from minilm_jax.search import dot_score, paraphrase_mining_embeddings
    from minilm_jax.vectors.similarity import COSINE_ROUNDING

    mined = paraphrase_mining_embeddings(
        corpus.index.vectors, score_function=dot_score, show_progress_bar=corpus.show_progress_bar
    )
    lowest = threshold - COSINE_ROUNDING
    pairs = [(score, corpus.entry(int(i)), corpus.entry(int(j))) for score, i, j in mined if score >= lowest]
    if as_json:
        entries = [{"score": s, "rows": [a["row"], b["row"]], "texts": [a["text"], b["text"]]} for s, a, b in pairs]
        click.echo(json.dumps(entries, ensure_ascii=False))
        return
    lines = []
    for score, first, second in pairs[:max_pairs]:
        lines += [(f"{score:.3f}", str(first["row"]), first["text"]), ("", str(second["row"]), second["text"])]
    click.echo(render_texts("score", lines))
    more = f" --most {len(pairs)} prints all pairs." if len(pairs) > max_pairs else ""
    click.echo(f"\nPairs with a cosine of {threshold} or more: {len(pairs):,}, of {len(corpus.rows):,} texts.{more}")
