"""`minilm-jax similarity`."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.config import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_PICTURES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 200


@click.command()
@click.argument("texts", nargs=-1, metavar="TEXT TEXT...")
@model_command.options
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the texts and the matrix.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw a heat map too: .png, .svg or .pdf."
)
@quiet_option
def similarity(
    texts: Sequence[str],
    model: str,
    precision: Precision,
    max_seq_length: int | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Print how alike texts are: cosines, 1 for the same.

    \b
      minilm-jax similarity "A cat sleeps." "A kitten naps."      one number
      minilm-jax similarity "A cat." "A dog." "A car." "A bus."   a matrix
      minilm-jax similarity "A cat." "A dog." --plot alike.png    a picture too
    """
    if len(texts) < 2:
        raise click.UsageError("similarity needs two texts or more.")
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise click.UsageError(f"{plot}: the suffix of a picture is one of {', '.join(_PICTURES)}.")
    import numpy as np

    from minilm_jax.cli.terminal import render_matrix

    encoder = model_command.load_encoder(model, precision, max_seq_length)
    vectors = model_command.encode(encoder, texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    matrix = vectors @ vectors.T
    if plot is not None:
        _draw(texts, matrix, plot)
    if as_json:
        click.echo(json.dumps({"texts": texts, "similarity": matrix.tolist()}, ensure_ascii=False))
    elif len(texts) == 2:
        click.echo(f"{matrix[0, 1]:.4f}")
    else:
        click.echo(render_matrix(texts, matrix))
    model_command.report_truncation(encoder)


def _draw(texts: Sequence[str], matrix: "NDArray[np.float32]", path: Path) -> None:
    from minilm_jax.atomic_files import atomic_write
    from minilm_jax.plot import similarity_heatmap, style

    figure = style.figure(similarity_heatmap(matrix, texts))
    with atomic_write(path) as written, warnings.catch_warnings():
        # A letter that no installed font has shows as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(written, dpi=_DOTS_PER_INCH, bbox_inches="tight")
