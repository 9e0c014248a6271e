"""Options, model loading, encoding and truncation report of all commands that run the model."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from minilm_jax import progress
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.cli import streams
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.config import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from minilm_jax.sentence_encoder import SentenceEncoder


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model and --revision to a command."""
    command = click.option(
        "--revision", metavar="REVISION", help="Branch, tag or commit of MODEL on the hub.  [default: main]"
    )(command)
    return click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        metavar="MODEL",
        help="Model name on the Hugging Face hub, or a folder: written by `convert`, or downloaded.",
    )(command)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model, --revision, --precision and --max-seq-length to a command."""
    for option in (
        click.option(
            "--precision",
            type=Choice(get_args(Precision)),
            default="float32",
            show_default=True,
            help="Precision of the computation; int8 is fastest on CPU, bfloat16 on GPU and TPU.",
        ),
        click.option(
            "--max-seq-length",
            type=click.IntRange(min=3),
            metavar="TOKENS",
            help="Truncate texts to this many tokens.  [default: the model's, 256; maximum 512]",
        ),
        model_options,
    ):
        command = option(command)
    return command


def load_encoder(
    model: str, revision: str | None, precision: Precision, max_seq_length: int | None
) -> "SentenceEncoder":
    """Load the model that the options name."""
    from minilm_jax.sentence_encoder import SentenceEncoder

    with warnings_as_notes():
        return SentenceEncoder.from_pretrained(
            model, revision=revision, precision=precision, max_seq_length=max_seq_length
        )


def encode(encoder: "SentenceEncoder", texts: Sequence[str], batch_size: int | None = None) -> "NDArray[np.float32]":
    """Return the embeddings of texts, float32[n, D], without a progress bar."""
    with warnings_as_notes():
        return encoder.encode(texts, batch_size=batch_size, show_progress_bar=False)


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings as notes, except the one about truncated texts, which commands report once, at the end."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: streams.print_note(str(message))
        warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")
        yield


def report_truncation(encoder: "SentenceEncoder") -> None:
    """Print to stderr how many texts were truncated, if any were and --quiet is not given."""
    stats = encoder.stats
    if stats.truncated and not progress.silenced():
        click.echo(
            f"{stats.truncated:,} of {stats.texts:,} texts were longer than {encoder.max_seq_length} tokens and were"
            " truncated; --max-seq-length raises the limit.",
            err=True,
        )
