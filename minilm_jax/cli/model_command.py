"""Options, model loading, encoding and truncation report of all commands that run the model."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from minilm_jax import progress
from minilm_jax.checkpoints.cache import DEFAULT_CROSS_ENCODER, DEFAULT_MODEL
from minilm_jax.cli import streams
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.config import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from minilm_jax.cross_encoder import CrossEncoder
    from minilm_jax.sentence_encoder import SentenceEncoder
    from minilm_jax.text_model import TextModel


def model_options(command: Callable[..., Any], default: str = DEFAULT_MODEL) -> Callable[..., Any]:
    """Add --model and --revision to a command."""
    command = click.option(
        "--revision", metavar="REVISION", help="Branch, tag or commit of MODEL on the hub.  [default: main]"
    )(command)
    return click.option(
        "--model",
        default=default,
        show_default=True,
        metavar="MODEL",
        help="Model name on the Hugging Face hub, or a folder: written by `convert`, or downloaded.",
    )(command)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model, --revision, --precision and --max-seq-length to a command."""
    limit = "Truncate texts to this many tokens.  [default: the model's, 256; maximum 512]"
    return model_options(_computation_options(command, limit))


def cross_encoder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same options to a command that scores pairs."""
    limit = "Truncate pairs of query and text to this many tokens.  [default: the model's, 512]"
    return model_options(_computation_options(command, limit), DEFAULT_CROSS_ENCODER)


def _computation_options(command: Callable[..., Any], limit: str) -> Callable[..., Any]:
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
            help=limit,
        ),
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


def load_cross_encoder(
    model: str, revision: str | None, precision: Precision, max_seq_length: int | None
) -> "CrossEncoder":
    """Load the cross-encoder that the options name."""
    from minilm_jax.cross_encoder import CrossEncoder

    with warnings_as_notes():
        return CrossEncoder.from_pretrained(
            model, revision=revision, precision=precision, max_seq_length=max_seq_length
        )


def encode(encoder: "SentenceEncoder", texts: Sequence[str], batch_size: int | None = None) -> "NDArray[np.float32]":
    """Return the embeddings of texts, float32[n, D], without a progress bar."""
    with warnings_as_notes():
        return encoder.encode(texts, batch_size=batch_size, show_progress_bar=False)


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings as notes, except the one about truncated inputs, which commands report once, at the end."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: streams.print_note(str(message))
        warnings.filterwarnings("ignore", r"\d+ of \d+ (texts|pairs) are longer")
        yield


def report_truncation(model: "TextModel", inputs: str = "texts") -> None:
    """Print to stderr how many inputs were truncated, if any were and --quiet is not given."""
    stats = model.stats
    if stats.truncated and not progress.silenced():
        click.echo(
            f"{stats.truncated:,} of {stats.texts:,} {inputs} were longer than {model.max_seq_length} tokens and were"
            " truncated; --max-seq-length raises the limit.",
            err=True,
        )
