"""The `minilm-jax embed-corpus` command."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.parameter_types import Choice, Share
from minilm_jax.cli.terminal import render_size
from minilm_jax.cli.text_input import delimiter_option, text_column_names
from minilm_jax.config import CorpusEngine, CorpusFormat, Precision, VectorType
from minilm_jax.errors import InputError
from minilm_jax.imports import from_extra
from minilm_jax.scale.job import SHARD_ROWS, Job

if TYPE_CHECKING:
    from minilm_jax.scale.estimate import Estimate


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(*text_column_names, required=True, metavar="C", help="Column that holds the texts.")
@delimiter_option
@click.option("--out", required=True, metavar="DIR", help="Folder for the shards, a path or a URL.")
@click.option("--keep", multiple=True, metavar="C", help="Input column to keep; may be repeated.  [default: all]")
@click.option(
    "--vector-column", default="embedding", show_default=True, metavar="C", help="Name of the column of vectors."
)
@click.option(
    "--dtype",
    type=Choice(get_args(VectorType)),
    default="float32",
    show_default=True,
    help="Storage type of the vectors.",
)
@click.option(
    "--from",
    "input_format",
    type=Choice(get_args(CorpusFormat)),
    help="Format of the inputs.  [default: by suffix]",
)
@click.option(
    "--shard-rows", type=click.IntRange(min=1), default=SHARD_ROWS, show_default=True, help="Maximum rows per shard."
)
@model_command.options
@click.option(
    "--engine",
    type=Choice(get_args(CorpusEngine)),
    default="local",
    show_default=True,
    help="Engine that runs the workers.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of workers, with --engine ray."
)
@click.option(
    "--share", type=Share(), default="0/1", metavar="I/N", help="Process share I of N, from 0, in a separate subfolder."
)
@click.option("--prune", is_flag=True, help="Remove the shards of inputs that are no longer given.")
@click.option("--dry-run", is_flag=True, help="Show the output size and the time without writing anything.")
@quiet_option
def embed_corpus(
    inputs: Sequence[str],
    text_column: str,
    delimiter: str | None,
    out: str,
    keep: Sequence[str],
    vector_column: str,
    dtype: VectorType,
    input_format: CorpusFormat | None,
    shard_rows: int,
    model: str,
    revision: str | None,
    precision: Precision,
    max_seq_length: int | None,
    engine: CorpusEngine,
    workers: int,
    share: tuple[int, int],
    prune: bool,
    dry_run: bool,
) -> None:
    """Embed a corpus of any size into a folder of Parquet shards.

    \b
      minilm-jax embed-corpus reviews.parquet --text-column review --out vectors
      minilm-jax embed-corpus 'logs/*.jsonl.gz' --text-column body --keep id --dtype int8 --out vectors
      minilm-jax embed-corpus s3://bucket/corpus --text-column text --out s3://bucket/vectors
      minilm-jax embed-corpus corpus --text-column text --out vectors --dry-run

    INPUTs are files, folders, globs or URLs of Parquet, Arrow, JSON lines or CSV; all but Parquet may be compressed
    (.gz, .zst). After an interruption, or to add files, run the same command again: finished shards are skipped.
    """
    if workers > 1 and engine == "local":
        raise click.UsageError("--workers needs --engine ray; a single process already uses all cores.")
    with from_extra("scale"):
        from minilm_jax.scale import estimate, run
    job = Job(
        inputs=tuple(inputs),
        text_column=text_column,
        out=out,
        keep=tuple(keep) or None,
        vector_column=vector_column,
        model=model,
        revision=revision,
        precision=precision,
        dtype=dtype,
        max_seq_length=max_seq_length,
        shard_rows=shard_rows,
        input_format=input_format,
        delimiter=delimiter,
    )
    with model_command.warnings_as_notes(), _log_on_stderr():
        if dry_run:
            _show_estimate(estimate.estimate(job, share))
            return
        reports = run.embed_corpus(job, engine=engine, workers=workers, prune=prune, share=share)
    if failed := len({report.url for report in reports if report.failure}):
        raise InputError(
            f"{progress.count_of(failed, 'file')} could not be read completely; all others are finished. Fix the input"
            " and run the same command again."
        )


def _show_estimate(estimate: "Estimate") -> None:
    click.echo(_render(estimate))
    for failure in estimate.failures:
        click.echo(failure, err=True)
    if estimate.failures:
        raise InputError(f"{progress.count_of(len(estimate.failures), 'file')} cannot be embedded; all others can.")


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Write log messages to stderr, above the progress bar if there is one."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    log = logging.getLogger("minilm_jax")
    handler, level = logging.StreamHandler(), log.level
    log.addHandler(handler)
    if not progress.silenced():
        log.setLevel(logging.INFO)
    try:
        with logging_redirect_tqdm([log]):
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _render(estimate: "Estimate") -> str:
    # Only Parquet files state their exact number of rows.
    about = "" if estimate.counted == estimate.rows else "about "
    lines = (
        ("inputs", f"{estimate.files:,} files, {render_size(estimate.size)}, in {estimate.parts:,} parts"),
        ("rows", f"{about}{estimate.rows:,}"),
        ("finished", f"{estimate.finished:,} rows"),
        (
            "to write",
            f"{about}{estimate.shards:,} shards, {render_size(estimate.rows_to_do * estimate.vector_bytes)} of vectors",
        ),
        ("rate", f"{estimate.rows_per_second:,.0f} rows/s, measured on a sample on this machine"),
        ("time", f"about {progress.duration(estimate.seconds)}"),
    )
    return "\n".join(f"{name:<10}{value}" for name, value in lines)
