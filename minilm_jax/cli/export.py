"""The `minilm-jax export` command."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from minilm_jax.cli import model_command
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.config import Platform, Precision, WeightsPlace

_PLATFORMS = get_args(Platform)


def _split(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    return [Choice(_PLATFORMS).convert(platform, param, ctx) for platform in value.split(",")]


@click.command()
@click.option("--out", type=click.Path(dir_okay=False), required=True, metavar="FILE", help="File to write.")
@click.option(
    "--platforms",
    default=",".join(_PLATFORMS),
    callback=_split,
    show_default=True,
    metavar="NAMES",
    help="Comma-separated platforms that can run the program; this machine needs none of them.",
)
@click.option(
    "--weights",
    type=Choice(get_args(WeightsPlace)),
    default="inside",
    show_default=True,
    help="Store the weights inside FILE, or in a separate file FILE.safetensors.",
)
@model_command.options
def export(
    out: str,
    platforms: Sequence[str],
    weights: WeightsPlace,
    model: str,
    revision: str | None,
    precision: Precision,
    max_seq_length: int | None,
) -> None:
    """Write the model as a StableHLO program for batches of any shape.

    A cross-encoder gives logits, a sparse encoder sparse vectors, and any other model sentence vectors.

    \b
      minilm-jax export --out minilm.stablehlo
      minilm-jax export --platforms cpu,tpu --precision bfloat16 --out minilm.stablehlo
      tail -n 1 minilm.stablehlo                  description of the program, as JSON

    To run it, only jax and flatbuffers need to be installed:

    \b
      program = jax.export.deserialize(bytearray(open("minilm.stablehlo", "rb").read()))
      batch = input_ids, attention_mask, token_type_ids                    int32[B, T] each
      vectors = jax.jit(program.call)(*batch)

    With --weights beside:

    \b
      weights = safetensors.flax.load_file("minilm.stablehlo.safetensors")
      vectors = jax.jit(program.call)(weights, *batch)

    The file is executable code: load only files that you trust.
    """
    from minilm_jax.checkpoints.hub import HubOptions
    from minilm_jax.export import save_exported
    from minilm_jax.model_kinds import class_of

    kind = class_of(model, HubOptions(revision))
    with model_command.warnings_as_notes():
        loaded = kind.from_pretrained(model, revision=revision, precision=precision, max_seq_length=max_seq_length)
    save_exported(loaded, Path(out), platforms=platforms, weights=weights)
