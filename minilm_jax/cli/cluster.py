"""The `minilm-jax cluster` command."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from minilm_jax.cli.corpus_command import Corpus, corpus_command
from minilm_jax.cli.parameter_types import Cosine, ExistingPath
from minilm_jax.cli.streams import print_result
from minilm_jax.cli.terminal import render_texts

_TEXTS_PER_CLUSTER = 5


@click.command()
@click.argument("corpus", type=ExistingPath(dir_okay=False), metavar="FILE")
@click.option(
    "--threshold",
    type=Cosine(),
    default=0.75,
    show_default=True,
    help="Minimum cosine similarity to the first text of a cluster.",
)
@click.option("--min-size", type=click.IntRange(min=1), default=3, show_default=True, help="Minimum texts per cluster.")
@click.option(
    "--all", "print_all", is_flag=True, help=f"Print every text of a cluster, not only the first {_TEXTS_PER_CLUSTER}."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of clusters, each a list of row and text.")
@corpus_command
def cluster(corpus: Corpus, threshold: float, min_size: int, print_all: bool, as_json: bool) -> None:
    """Print groups of similar texts in a file.

    \b
      minilm-jax cluster questions.txt
      minilm-jax cluster reviews.csv --text-column review --threshold 0.6 --min-size 10

    The first text of a cluster is its center; the others follow by decreasing similarity to it. Rows are counted from
    1; in a .txt file, a row is a line. The embeddings are saved in FILE.index and reused by later commands.
    """
    from minilm_jax.search import community_detection

    communities = community_detection(
        corpus.index.vectors, threshold, min_size, show_progress_bar=corpus.show_progress_bar
    )
    clusters = [[corpus.entry(i) for i in members] for members in communities]
    if as_json:
        print_result(json.dumps(clusters, ensure_ascii=False))
        return
    print_result(render_texts(["size"], [line for members in clusters for line in _table_lines(members, print_all)]))
    count = sum(map(len, clusters))
    print_result(f"\nClusters: {len(clusters):,}, with {count:,} of {len(corpus.rows):,} texts.")


def _table_lines(members: Sequence[Mapping[str, Any]], print_all: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the table lines of one cluster, one per text: the size (first line only), the row and the text."""
    shown = members if print_all else members[:_TEXTS_PER_CLUSTER]
    for place, entry in enumerate(shown):
        yield "" if place else f"{len(members):,}", str(entry["row"]), entry["text"]
    if len(shown) < len(members):
        yield "", "", f"… {len(members) - len(shown):,} more"
