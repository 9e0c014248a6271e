"""The `minilm-jax embed` command."""

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, get_args

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.parameter_types import Choice, ExistingPath
from minilm_jax.cli.text_input import format_from_suffix, note_file_names, text_input, text_input_options
from minilm_jax.config import Precision, TextFormat, VectorFormat
from minilm_jax.files.texts import chunked


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    type=ExistingPath(dir_okay=False, allow_dash=True),
    help="Read texts from a .txt, .jsonl, .csv, .tsv or .parquet file, or from standard input (-).",
)
@text_input_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    default="-",
    help="Write a .npy, .npz, .parquet, .jsonl or .csv file.  [default: JSON lines to standard output]",
)
@click.option(
    "--to", "output_format", type=Choice(get_args(VectorFormat)), help="Format of --out.  [default: by suffix]"
)
@model_command.options
@click.option(
    "--batch-size", type=click.IntRange(min=1), help="Maximum texts per batch.  [default: by the texts' lengths]"
)
@quiet_option
def embed(
    texts: Sequence[str],
    file: str | None,
    text_column: str | None,
    delimiter: str | None,
    input_format: TextFormat | None,
    out: str,
    output_format: VectorFormat | None,
    model: str,
    revision: str | None,
    precision: Precision,
    max_seq_length: int | None,
    batch_size: int | None,
) -> None:
    """Embed texts from the command line or from a file of any size.

    \b
      minilm-jax embed "Hello world" "Good night"
      minilm-jax embed --file lines.txt --out vectors.npy
      minilm-jax embed --file reviews.csv --text-column review --out reviews.parquet
      zcat big.jsonl.gz | minilm-jax embed --file - --from jsonl --out big.npz

    In a .txt file every line is a text, including empty ones, so that row i belongs to line i. CSV output has the
    columns text, e0, e1, …; .npy and .npz hold only the vectors. The output file appears when it is complete.
    """
    if tuple(texts) == ("-",):
        texts, file = (), "-"
    if bool(texts) == (file is not None):
        raise click.UsageError("give either TEXTs or --file; --file - reads standard input.")
    from minilm_jax.files.vectors import FORMATS, STREAM_FORMATS, open_writer

    text_source = text_input(file, input_format, text_column, delimiter)
    target_format = output_format or ("jsonl" if out == "-" else format_from_suffix(out, FORMATS, "--to"))
    if out == "-" and target_format not in STREAM_FORMATS:
        raise click.UsageError(f"{target_format} cannot be written to standard output; name a file with --out.")
    if file and os.path.exists(out) and os.path.exists(file) and os.path.samefile(file, out):
        raise click.UsageError("--out is the same file as --file and would overwrite the texts; name another file.")

    note_file_names(texts)
    target = sys.stdout.buffer if out == "-" else Path(out)
    with _opened(file) as source, open_writer(target, target_format) as write:
        chunks = chunked(texts if source is None else text_source.read(source))
        # The first chunk is read early, so that errors in the file are reported before the model is loaded.
        first = next(chunks)
        encoder = model_command.load_encoder(model, revision, precision, max_seq_length)
        # Readers of Parquet do not advance evenly through the file.
        measured = None if file == "-" or text_source.format == "parquet" else source
        with _progress(measured, hidden=bool(texts)) as advance:
            for chunk in itertools.chain([first], chunks):
                write(chunk, model_command.encode(encoder, chunk, batch_size))
                advance(len(chunk))
    model_command.report_truncation(encoder)


def _opened(file: str | None) -> contextlib.AbstractContextManager[BinaryIO | None]:
    if file is None or file == "-":
        return contextlib.nullcontext(sys.stdin.buffer if file else None)
    return open(file, "rb")


@contextlib.contextmanager
def _progress(file: BinaryIO | None, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar in a terminal, in bytes if the size of the file is known, otherwise in texts.

    Args:
        file: The file that is read, or None if its position does not measure the progress.
        hidden: Whether to show no bar.

    Yields:
        Function to call with the number of texts that were just embedded.
    """
    from tqdm import tqdm

    size = os.fstat(file.fileno()).st_size if file is not None and file.seekable() else None
    bar_format = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]" if size else None
    started, texts = time.perf_counter(), 0
    # None makes tqdm show the bar only in a terminal.
    disable = hidden or progress.silenced() or None
    unit = "B" if size else " texts"
    bar = tqdm(total=size, unit=unit, unit_scale=True, bar_format=bar_format, disable=disable)

    def advance(count: int) -> None:
        nonlocal texts
        texts += count
        if file is not None and size:
            bar.set_postfix_str(f"{texts / (time.perf_counter() - started):,.0f} texts/s", refresh=False)
            bar.update(file.tell() - bar.n)
        else:
            bar.update(count)

    with bar:
        yield advance
