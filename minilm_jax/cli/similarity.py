"""`minilm-jax similarity`."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from minilm_jax.cli import model as shared
from minilm_jax.cli.program import quiet_option

if TYPE_CHECKING:
    from minilm_jax.precision import Precision


@click.command()
@click.argument("texts", nargs=-1, metavar="TEXT TEXT...")
@shared.model_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the texts and the matrix.")
@quiet_option
def similarity(
    texts: Sequence[str], model: str, precision: "Precision", max_seq_length: int | None, as_json: bool
) -> None:
    """Print how alike texts are: cosines, 1 for the same.

    \b
      minilm-jax similarity "A cat sleeps." "A kitten naps."      one number
      minilm-jax similarity "A cat." "A dog." "A car." "A bus."   a matrix
    """
    if len(texts) < 2:
        raise click.UsageError("similarity needs two texts or more.")
    import numpy as np

    from minilm_jax.terminal import render_matrix

    encoder = shared.load_encoder(model, precision, max_seq_length)
    vectors = shared.encode(encoder, texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    matrix = vectors @ vectors.T
    if as_json:
        click.echo(json.dumps({"texts": texts, "similarity": matrix.tolist()}, ensure_ascii=False))
    elif len(texts) == 2:
        click.echo(f"{matrix[0, 1]:.4f}")
    else:
        click.echo(render_matrix(texts, matrix))
    shared.report_truncation(encoder)
