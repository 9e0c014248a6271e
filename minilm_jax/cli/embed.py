"""`minilm-jax embed`."""

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar, get_args

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.parameter_types import Choice, ExistingPath
from minilm_jax.config import Precision, TextFormat, VectorFormat
from minilm_jax.errors import did_you_mean
from minilm_jax.files import texts as text_files

_Format = TypeVar("_Format")


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--file", type=ExistingPath(dir_okay=False, allow_dash=True), help="Read .txt, .jsonl, .csv or -.")
@click.option("--field", default="text", show_default=True, help="The member or column of --file that holds the text.")
@click.option(
    "--from", "input_format", type=Choice(get_args(TextFormat)), help="The format of --file.  [default: by suffix]"
)
@click.option(
    "--out", type=click.Path(dir_okay=False), default="-", help="Write .npy, .npz, .parquet, .jsonl, .csv or -."
)
@click.option(
    "--to", "output_format", type=Choice(get_args(VectorFormat)), help="The format of --out.  [default: by suffix]"
)
@model_command.options
@click.option("--batch-size", type=click.IntRange(min=1), help="Most texts a call.  [default: by their length]")
@quiet_option
def embed(
    texts: Sequence[str],
    file: str | None,
    field: str,
    input_format: TextFormat | None,
    out: str,
    output_format: VectorFormat | None,
    model: str,
    precision: Precision,
    max_seq_length: int | None,
    batch_size: int | None,
) -> None:
    """Embed texts, given here or in a file of any size.

    \b
      minilm-jax embed "Hello world" "Good night"
      minilm-jax embed --file lines.txt --out vectors.npy
      minilm-jax embed --file reviews.csv --field review --out reviews.parquet
      zcat big.jsonl.gz | minilm-jax embed --file - --from jsonl --out big.npz

    Each line of a .txt file is a text, an empty one too, so that row i is line i. A .csv file gets the columns text,
    e0, e1, …; .npy and .npz hold the vectors alone. The output appears when it is complete, never in part.
    """
    if tuple(texts) == ("-",):
        texts, file = (), "-"
    if bool(texts) == (file is not None):
        raise click.UsageError("give either TEXTs or --file; --file - reads standard input.")
    from minilm_jax.files.vectors import FORMATS, STREAM_FORMATS, open_writer

    source_format = input_format or (
        "txt" if file in (None, "-") else format_from_suffix(file, text_files.FORMATS, "--from")
    )
    target_format = output_format or ("jsonl" if out == "-" else format_from_suffix(out, FORMATS, "--to"))
    if out == "-" and target_format not in STREAM_FORMATS:
        raise click.UsageError(f"{target_format} cannot go to standard output; name a file with --out.")
    if file and os.path.exists(out) and os.path.exists(file) and os.path.samefile(file, out):
        raise click.UsageError("--out is --file; the texts would be lost.")

    target = sys.stdout.buffer if out == "-" else Path(out)
    with _opened(file) as source, open_writer(target, target_format) as write:
        chunks = text_files.chunked(texts if source is None else text_files.read_texts(source, source_format, field))
        first = next(chunks)  # What is wrong with a file shows before the model is loaded.
        encoder = model_command.load_encoder(model, precision, max_seq_length)
        with _progress(None if file == "-" else source, few=bool(texts)) as advance:
            for chunk in itertools.chain([first], chunks):
                write(chunk, model_command.encode(encoder, chunk, batch_size))
                advance(len(chunk))
    model_command.report_truncation(encoder)


def format_from_suffix(path: str, formats: Mapping[str, _Format], option: str) -> _Format:
    """Returns the format that a file's suffix stands for; an option names it where the suffix does not tell."""
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        near = did_you_mean(suffix, formats)
        raise click.UsageError(
            f"{path}: the suffix is none of {', '.join(formats)}; name the format with {option}.{near}"
        )
    return formats[suffix]


def _opened(file: str | None) -> contextlib.AbstractContextManager[BinaryIO | None]:
    if file is None or file == "-":
        return contextlib.nullcontext(sys.stdin.buffer if file else None)
    return open(file, "rb")


@contextlib.contextmanager
def _progress(file: BinaryIO | None, *, few: bool) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how much of a file is done, or how many texts where that cannot be told, and the speed."""
    from tqdm import tqdm

    size = os.fstat(file.fileno()).st_size if file is not None and file.seekable() else None
    layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]" if size else None
    started, texts = time.perf_counter(), 0
    # tqdm's None shows the bar on a terminal only.
    disable = few or progress.silenced() or None
    unit = "B" if size else " texts"
    bar = tqdm(total=size, unit=unit, unit_scale=True, bar_format=layout, disable=disable)

    def advance(more: int) -> None:
        nonlocal texts
        texts += more
        if file is not None and size:
            bar.set_postfix_str(f"{texts / (time.perf_counter() - started):,.0f} texts/s", refresh=False)
            bar.update(file.tell() - bar.n)
        else:
            bar.update(more)

    with bar:
        yield advance
