"""The `minilm-jax similarity` command."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from minilm_jax.atomic_files import atomic_write
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.streams import check_stdout, print_result
from minilm_jax.cli.terminal import render_matrix
from minilm_jax.cli.text_input import note_file_names
from minilm_jax.config import PictureFormat, Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PICTURE_SUFFIXES = tuple(f".{name}" for name in get_args(PictureFormat))
_DOTS_PER_INCH = 200


@click.command()
@click.argument("texts", nargs=-1, metavar="TEXT TEXT...")
@model_command.options
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the texts and the matrix.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Also draw a heat map to this file ({', '.join(_PICTURE_SUFFIXES)}).",
)
@quiet_option
def similarity(
    texts: Sequence[str],
    model: str,
    revision: str | None,
    precision: Precision,
    max_seq_length: int | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Print the cosine similarity of texts; 1 means identical.

    \b
      minilm-jax similarity "A cat sleeps." "A kitten naps."      one number
      minilm-jax similarity "A cat." "A dog." "A car." "A bus."   a matrix
      minilm-jax similarity "A cat." "A dog." --plot alike.png    also a heat map
    """
    if len(texts) < 2:
        raise click.UsageError("give two texts or more to compare.")
    if plot is not None and plot.suffix.lower() not in _PICTURE_SUFFIXES:
        raise click.UsageError(f"{plot}: the suffix must be one of {', '.join(_PICTURE_SUFFIXES)}.")
    check_stdout()
    note_file_names(texts)
    import numpy as np

    encoder = model_command.load_encoder(model, revision, precision, max_seq_length)
    vectors = model_command.encode(encoder, texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    matrix = vectors @ vectors.T
    if plot is not None:
        _draw(texts, matrix, plot)
    if as_json:
        print_result(json.dumps({"texts": texts, "similarity": matrix.tolist()}, ensure_ascii=False))
    elif len(texts) == 2:
        print_result(f"{matrix[0, 1]:.4f}")
    else:
        print_result(render_matrix(texts, matrix))
    model_command.report_truncation(encoder)


def _draw(texts: Sequence[str], matrix: "NDArray[np.float32]", path: Path) -> None:
    from minilm_jax.plot import similarity_heatmap, style

    figure = style.figure(similarity_heatmap(matrix, texts))
    with atomic_write(path) as written, warnings.catch_warnings():
        # matplotlib warns about characters that are in no installed font; it draws boxes instead.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(written, dpi=_DOTS_PER_INCH, bbox_inches="tight")
