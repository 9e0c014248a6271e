"""The command `minilm-jax`; a file here for each of its larger commands, none of which imports jax before it runs."""

from collections.abc import Sequence

import click

from minilm_jax import __version__
from minilm_jax.cli.bench import bench
from minilm_jax.cli.cluster import cluster
from minilm_jax.cli.command_group import CONTEXT_SETTINGS, CommandGroup
from minilm_jax.cli.duplicates import duplicates
from minilm_jax.cli.embed import embed
from minilm_jax.cli.embed_corpus import embed_corpus
from minilm_jax.cli.export import export
from minilm_jax.cli.info import info
from minilm_jax.cli.model_command import start_compilation_cache
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.cli.search import search
from minilm_jax.cli.similarity import similarity

# Every argument, --help too, is for the command that this one loads.
_PASS_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="minilm-jax")
def main(**_: bool) -> None:
    """Sentence embeddings with all-MiniLM-L6-v2, on JAX.

    \b
      minilm-jax demo                                   everything once, in a few seconds
      minilm-jax embed "Hello world"                    a vector, as a line of JSON
      minilm-jax embed --file lines.txt --out all.npy   a vector for each line
      minilm-jax embed --file a.csv --field review --precision int8 --out a.parquet
      cat lines.txt | minilm-jax embed - > all.jsonl    the same through a pipe
      minilm-jax embed-corpus data --text-column t --out vectors
      minilm-jax similarity "A cat." "A dog." "A car."  how alike they are
      minilm-jax search "a pet" --corpus lines.txt      the lines most like it
      minilm-jax convert onnx_to_flax model.onnx        Flax params out of an ONNX file
      minilm-jax info                                   what is installed, and what is off

    The first run obtains the model, 91 MB; `minilm-jax COMMAND -h` shows examples of each command.
    """


@main.command(context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def convert(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Convert between ONNX files and Flax params."""
    from minilm_jax.converter import import_converter

    import_converter("__main__").main.main(list(arguments), prog_name=ctx.command_path)


@main.command()
def demo() -> None:
    """Show what the model does, step by step."""
    from minilm_jax.cli.demo import run

    start_compilation_cache()
    run()


@main.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes Tab complete commands and options.

    \b
      eval "$(minilm-jax completion bash)"    in ~/.bashrc
      eval "$(minilm-jax completion zsh)"     in ~/.zshrc
      minilm-jax completion fish | source     in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(main, {}, "minilm-jax", "_MINILM_JAX_COMPLETE").source())


for _command in (bench, similarity, info, embed, embed_corpus, search, cluster, duplicates, export):
    main.add_command(_command)
