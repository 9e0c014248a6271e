"""The `minilm-jax` command. Modules that define commands import JAX only when a command runs."""

from collections.abc import Sequence
from typing import get_args

import click

from minilm_jax import __version__
from minilm_jax.cli.bench import bench
from minilm_jax.cli.cluster import cluster
from minilm_jax.cli.command_group import CONTEXT_SETTINGS, CommandGroup
from minilm_jax.cli.duplicates import duplicates
from minilm_jax.cli.embed import embed
from minilm_jax.cli.embed_corpus import embed_corpus
from minilm_jax.cli.evaluate import evaluate
from minilm_jax.cli.export import export
from minilm_jax.cli.info import info
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.cli.rerank import rerank
from minilm_jax.cli.search import search
from minilm_jax.cli.serve import serve
from minilm_jax.cli.similarity import similarity
from minilm_jax.cli.train import train
from minilm_jax.config import Shell
from minilm_jax.converter import import_converter

# `convert` passes every argument, --help included, to the converter's own command line.
_PASS_THROUGH = {"ignore_unknown_options": True, "help_option_names": []}


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="minilm-jax")
def main(**_: bool) -> None:
    """Sentence embeddings with all-MiniLM-L6-v2, on JAX.

    \b
      minilm-jax demo                                   a tour of the model, in a few seconds
      minilm-jax embed "Hello world"                    one embedding, as a line of JSON
      minilm-jax embed --file lines.txt --out all.npy   one embedding per line of a file
      minilm-jax embed --file a.csv --text-column t --precision int8 --out a.parquet
      cat lines.txt | minilm-jax embed - > all.jsonl    the same in a pipe
      minilm-jax embed-corpus data --text-column t --out vectors
      minilm-jax similarity "A cat." "A dog." "A car."  cosine similarity of every pair
      minilm-jax search "a pet" --corpus lines.txt      the lines most similar to a query
      minilm-jax rerank "a pet" --file lines.txt        the same by a cross-encoder, for short files
      minilm-jax convert onnx_to_flax model.onnx        an ONNX file as Flax params
      minilm-jax train pairs.jsonl --out my-model       fine-tune on your own pairs
      minilm-jax serve                                  an HTTP server with OpenAI's interface
      minilm-jax info                                   versions, devices, model files, problems

    The first run downloads the model (91 MB). `minilm-jax COMMAND -h` shows examples of a command.
    """


@main.command(context_settings=_PASS_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def convert(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Convert models between ONNX files and Flax params."""
    import_converter("__main__").main.main(list(arguments), prog_name=ctx.command_path)


@main.command()
def demo() -> None:
    """Convert the model, run it, and show its outputs step by step.

    The demo downloads the ONNX file of all-MiniLM-L6-v2 (91 MB) on its first run, converts it to Flax params, and
    prints the outputs for one text and the similarities of six sentences.
    """
    from minilm_jax.cli.demo import run

    run()


@main.command()
@click.argument("shell", type=Choice(get_args(Shell)))
def completion(shell: str) -> None:
    """Print a script for Tab completion of commands and options.

    \b
      eval "$(minilm-jax completion bash)"    in ~/.bashrc
      eval "$(minilm-jax completion zsh)"     in ~/.zshrc
      minilm-jax completion fish | source     in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(main, {}, "minilm-jax", "_MINILM_JAX_COMPLETE").source())


_OF_TEXTS = (embed, embed_corpus, similarity, search, rerank, cluster, duplicates)
for _command in (bench, info, *_OF_TEXTS, train, evaluate, export, serve):
    main.add_command(_command)
