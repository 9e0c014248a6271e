"""`minilm-jax cluster`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from minilm_jax.cli.corpus_command import COSINE_ROUNDING, Corpus, corpus_command
from minilm_jax.cli.parameter_types import ExistingPath

# Of a cluster that is not printed whole.
_SHOWN = 5


@click.command()
@click.argument("corpus", type=ExistingPath(dir_okay=False), metavar="FILE")
@click.option(
    "--threshold",
    type=click.FloatRange(-1, 1),
    default=0.75,
    show_default=True,
    help="The least cosine with the first of a cluster.",
)
@click.option("--min-size", type=click.IntRange(min=1), default=3, show_default=True, help="Leave out smaller ones.")
@click.option("--all", "whole", is_flag=True, help=f"Print all texts of a cluster, not {_SHOWN}.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of clusters, lists of row and text.")
@corpus_command
def cluster(corpus: Corpus, threshold: float, min_size: int, whole: bool, as_json: bool) -> None:
    """Print the groups of texts of a file that are about the same.

    \b
      minilm-jax cluster questions.txt
      minilm-jax cluster reviews.csv --field review --threshold 0.6 --min-size 10

    The first of a cluster is its centre; the later another comes, the less it is like it. Row counts the texts of the
    file from 1; of a .txt file it is the line. The index is kept as `search` keeps it.
    """
    from minilm_jax.cli.terminal import render_texts
    from minilm_jax.search import community_detection

    found = community_detection(
        corpus.index.vectors, threshold - COSINE_ROUNDING, min_size, show_progress_bar=corpus.show_progress_bar
    )
    clusters = [[corpus.entry(i) for i in members] for members in found]
    if as_json:
        click.echo(json.dumps(clusters, ensure_ascii=False))
        return
    click.echo(render_texts("size", [line for members in clusters for line in _lines(members, whole)]))
    inside = sum(map(len, clusters))
    click.echo(f"\nClusters: {len(clusters):,}, with {inside:,} of {len(corpus.rows):,} texts.")


def _lines(members: Sequence[Mapping[str, Any]], whole: bool) -> Iterator[tuple[str, str, str]]:
    shown = members if whole else members[:_SHOWN]
    for place, entry in enumerate(shown):
        yield "" if place else f"{len(members):,}", str(entry["row"]), entry["text"]
    if len(shown) < len(members):
        yield "", "", f"… {len(members) - len(shown):,} more"
