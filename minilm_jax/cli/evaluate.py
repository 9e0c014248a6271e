"""The `minilm-jax evaluate` command."""

import json

import click

from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.evaluators import evaluator_for
from minilm_jax.cli.parameter_types import ExistingPath
from minilm_jax.cli.streams import check_stdout, print_result
from minilm_jax.config import Precision


@click.command()
@click.argument("data", type=ExistingPath(dir_okay=False))
@click.option("--columns", metavar="A,B,…", help="Columns of texts, in order.  [default: all but the label]")
@click.option("--label", metavar="C", help="Column of scores or labels.  [default: label, labels, score or scores]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object with all metrics.")
@model_command.options
@quiet_option
def evaluate(
    data: str,
    columns: str | None,
    label: str | None,
    as_json: bool,
    model: str,
    revision: str | None,
    precision: Precision,
    max_seq_length: int | None,
) -> None:
    """Evaluate a model on the rows of a .jsonl, .csv, .tsv or .parquet file.

    \b
      minilm-jax evaluate scored-pairs.jsonl
      minilm-jax evaluate triplets.csv --columns anchor,positive,negative --model my-model
      minilm-jax evaluate answers.jsonl --model my-reranker --json

    The columns select the metrics, which are those of sentence-transformers. Pairs with a score: the correlation of the
    similarities with it. Triplets: how often the positive is nearer. Pairs: the search of each first text among all
    second ones. For a cross-encoder, pairs with a label, 0 or 1: the ranking of the second texts of each first one.
    """
    from minilm_jax.checkpoints.hub import HubOptions
    from minilm_jax.model_kinds import class_of
    from minilm_jax.training.data import TrainingData

    check_stdout()
    rows = TrainingData.from_file(data, columns.split(",") if columns else None, label)
    with model_command.warnings_as_notes():
        loaded = class_of(model, HubOptions(revision)).from_pretrained(
            model, revision=revision, precision=precision, max_seq_length=max_seq_length
        )
        scores = evaluator_for(rows, loaded)(loaded)
    if as_json:
        print_result(json.dumps(scores))
    else:
        width = max(map(len, scores))
        print_result("\n".join(f"{name.ljust(width)}  {score:.4f}" for name, score in scores.items()))
    model_command.report_truncation(loaded)
