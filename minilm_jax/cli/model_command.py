"""What the commands that run the model share: its options, loading it, and what it says on the way."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from minilm_jax import progress
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.config import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from minilm_jax.sentence_encoder import SentenceEncoder

# The encoder's own warning, which a line at the end replaces, and jax's about a cache folder that is read-only.
_NOT_SHOWN = (r"\d+ of \d+ texts are longer", "Error (reading|writing) persistent compilation cache")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --model, --precision and --max-seq-length to a command."""
    for option in (
        click.option(
            "--precision",
            type=Choice(get_args(Precision)),
            default="float32",
            show_default=True,
            help="What to compute in; int8 is fastest on a CPU, bfloat16 on a GPU or TPU.",
        ),
        click.option(
            "--max-seq-length",
            type=click.IntRange(min=3),
            metavar="TOKENS",
            help="Cut longer texts there.  [default: the model's, 256; at most 512]",
        ),
        click.option(
            "--model",
            default="all-minilm-l6-v2",
            show_default=True,
            metavar="MODEL",
            help="A name, or a folder that `convert` wrote or that is from the hub.",
        ),
    ):
        command = option(command)
    return command


def start_compilation_cache() -> None:
    """Turns the persistent compilation cache on, unless the user said no or it cannot be created."""
    from minilm_jax.runtime.compilation_cache import enable_compilation_cache

    if click.get_current_context().find_root().params["compilation_cache"]:
        with contextlib.suppress(OSError):
            enable_compilation_cache()


def load_encoder(model: str, precision: Precision, max_seq_length: int | None) -> "SentenceEncoder":
    """Loads the model that the options name."""
    from minilm_jax.sentence_encoder import SentenceEncoder

    start_compilation_cache()
    return SentenceEncoder.from_pretrained(model, precision=precision, max_seq_length=max_seq_length)


def encode(encoder: "SentenceEncoder", texts: Sequence[str], batch_size: int | None = None) -> "NDArray[np.float32]":
    """Embeds texts without a bar or a warning of its own."""
    with hide_warnings():
        return encoder.encode(texts, batch_size=batch_size, show_progress_bar=False)


@contextlib.contextmanager
def hide_warnings() -> Iterator[None]:
    """Keeps back the warnings that a command has words of its own for."""
    with warnings.catch_warnings():
        for message in _NOT_SHOWN:
            warnings.filterwarnings("ignore", message)
        yield


def report_truncation(encoder: "SentenceEncoder") -> None:
    """Says on stderr how many texts were cut, if any was, unless nothing is to be said."""
    stats = encoder.stats
    if stats.truncated and not progress.silenced():
        click.echo(
            f"{stats.truncated:,} of {stats.texts:,} texts were longer than {encoder.max_seq_length} tokens and were"
            " cut there; --max-seq-length raises the limit.",
            err=True,
        )
