"""The `minilm-jax duplicates` command."""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from minilm_jax.cli.corpus_command import Corpus, corpus_command
from minilm_jax.cli.parameter_types import Cosine, ExistingPath
from minilm_jax.cli.streams import print_note, print_result
from minilm_jax.cli.terminal import render_texts

if TYPE_CHECKING:
    from minilm_jax.search.pairs import SortedPairs

_PAIRS_IN_A_TABLE = 50


@click.command()
@click.argument("corpus", type=ExistingPath(dir_okay=False), metavar="FILE")
@click.option("--threshold", type=Cosine(), default=0.9, show_default=True, help="Minimum cosine similarity of a pair.")
@click.option(
    "--most",
    "max_pairs",
    type=click.IntRange(min=1),
    help=f"Maximum pairs to print.  [default: {_PAIRS_IN_A_TABLE}; all with --json]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of pairs, each with score, rows and texts.")
@corpus_command
def duplicates(corpus: Corpus, threshold: float, max_pairs: int | None, as_json: bool) -> None:
    """Print pairs of texts in a file that have the same or nearly the same meaning.

    \b
      minilm-jax duplicates questions.txt
      minilm-jax duplicates reviews.csv --text-column review --threshold 0.8

    All pairs are found and counted, and printed by decreasing cosine similarity. Rows are counted from 1; in a .txt
    file, a row is a line. The embeddings are saved in FILE.index and reused by later commands.
    """
    from minilm_jax.search.pairs import sorted_pairs

    limit = max_pairs or (None if as_json else _PAIRS_IN_A_TABLE)
    with sorted_pairs(corpus.index.vectors, threshold, limit, corpus.show_progress_bar) as pairs:
        missing = max(0, pairs.total - (limit or pairs.total))
        if as_json:
            _print_json(corpus, pairs)
            if missing:
                print_note(f"{missing:,} more pairs were found; --most {pairs.total} prints all pairs.")
            return
        lines = []
        for score, first, second in _entries(corpus, pairs):
            lines += [(f"{score:.3f}", str(first["row"]), first["text"]), ("", str(second["row"]), second["text"])]
        print_result(render_texts(["score"], lines))
        more = f" --most {pairs.total} prints all pairs. Not shown: {missing:,}." if missing else ""
        print_result(
            f"\nPairs with a cosine of {threshold} or more: {pairs.total:,}, of {len(corpus.rows):,} texts.{more}"
        )


def _entries(corpus: Corpus, pairs: "SortedPairs") -> Iterator[tuple[float, dict[str, Any], dict[str, Any]]]:
    return ((score, corpus.entry(first), corpus.entry(second)) for score, first, second in pairs)


def _print_json(corpus: Corpus, pairs: "SortedPairs") -> None:
    """Write the pairs one by one, because a list of all of them may not fit in memory."""
    separator = "["
    for score, a, b in _entries(corpus, pairs):
        entry = {"score": score, "rows": [a["row"], b["row"]], "texts": [a["text"], b["text"]]}
        sys.stdout.write(separator + json.dumps(entry, ensure_ascii=False))
        separator = ", "
    print_result("]" if pairs.total else "[]")
