"""The `minilm-jax train` command."""

import json
from pathlib import Path
from typing import get_args

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.evaluators import evaluator_for
from minilm_jax.cli.parameter_types import Choice, ExistingPath
from minilm_jax.cli.streams import print_result
from minilm_jax.config import LossName
from minilm_jax.training.options import Schedule


@click.command()
@click.argument("data", type=ExistingPath(dir_okay=False))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the trained model.")
@click.option(
    "--loss", metavar="NAME", help=f"Loss: {', '.join(get_args(LossName))}.  [default: by the data, see above]"
)
@click.option("--columns", metavar="A,B,…", help="Columns of texts, in the order of the loss.  [default: all others]")
@click.option("--label", metavar="C", help="Column of labels.  [default: label, labels, score or scores]")
@click.option("--dev", type=ExistingPath(dir_okay=False), help="Data for evaluation, with the same columns.")
@click.option("--cross-encoder", is_flag=True, help="Train a cross-encoder with the weights of MODEL.")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--max-steps", type=click.IntRange(min=1), help="Number of batches, instead of --epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Rows per batch.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=2e-5, show_default=True)
@click.option("--warmup", type=click.FloatRange(min=0), default=0.1, show_default=True, help="Part of the run.")
@click.option("--schedule", type=Choice(get_args(Schedule)), default="linear", show_default=True)
@click.option("--freeze", multiple=True, metavar="PATTERN", help='Params that are not trained, such as "embeddings.*".')
@click.option("--lora-rank", type=click.IntRange(min=0), default=0, help="Train low-rank updates of the kernels only.")
@click.option(
    "--chunk-tokens",
    type=click.IntRange(min=1),
    help="Compute this many tokens at a time, for large batches.",
)
@click.option(
    "--accumulation",
    type=click.IntRange(min=1),
    default=1,
    help="Batches per update. They add no in-batch negatives; for those, use --batch-size with --chunk-tokens.",
)
@click.option("--no-dropout", is_flag=True, help="Train without dropout.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@model_command.model_options
@click.option(
    "--max-seq-length", type=click.IntRange(min=3), metavar="TOKENS", help="Truncate texts to this many tokens."
)
@quiet_option
def train(
    data: str,
    out: Path,
    loss: str | None,
    columns: str | None,
    label: str | None,
    dev: str | None,
    cross_encoder: bool,
    epochs: float,
    max_steps: int | None,
    batch_size: int,
    learning_rate: float,
    warmup: float,
    schedule: Schedule,
    freeze: tuple[str, ...],
    lora_rank: int,
    chunk_tokens: int | None,
    accumulation: int,
    no_dropout: bool,
    seed: int,
    model: str,
    revision: str | None,
    max_seq_length: int | None,
) -> None:
    """Fine-tune a model on the rows of a .jsonl, .csv, .tsv or .parquet file.

    \b
      minilm-jax train pairs.jsonl --out my-model
      minilm-jax train scored.csv --columns a,b --label score --dev dev.csv --out my-model --epochs 4
      minilm-jax train answers.jsonl --cross-encoder --out my-reranker

    Pairs, or an anchor, a positive and negatives: loss multiple_negatives_ranking. Pairs with a score from 0 to 1: loss
    cosent. Cross-encoders: pairs with a label, loss binary_cross_entropy.

    The folder receives the model, which sentence-transformers loads too, a model card, and training.jsonl, the log. A
    run that was stopped continues if the same command runs again.
    """
    from minilm_jax.training import TrainingData, TrainingOptions, train as train_model
    from minilm_jax.training.new_models import new_cross_encoder

    names = columns.split(",") if columns else None
    rows = TrainingData.from_file(data, names, label)
    options = TrainingOptions(
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=warmup,
        schedule=schedule,
        freeze=freeze,
        lora_rank=lora_rank,
        chunk_tokens=chunk_tokens,
        accumulation=accumulation,
        dropout=not no_dropout,
        seed=seed,
    )
    encoder = model_command.load_encoder(model, revision, "float32", max_seq_length)
    start = new_cross_encoder(encoder, seed=seed) if cross_encoder else encoder
    evaluator = None if dev is None else evaluator_for(TrainingData.from_file(dev, names, label), start)
    show = False if progress.silenced() else None
    with model_command.warnings_as_notes():
        result = train_model(
            start, rows, loss, options=options, evaluator=evaluator, output_dir=out, show_progress_bar=show
        )
    print_result(json.dumps({"model": str(out), "steps": result.steps, "before": result.before, "after": result.after}))
