"""`python -m convert`: the command line of the converter."""

from pathlib import Path
from typing import Any, get_args

import click

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.cli.command_group import CONTEXT_SETTINGS, CommandGroup, quiet_option
from minilm_jax.cli.model_command import start_compilation_cache
from minilm_jax.cli.parameter_types import Choice, ExistingPath
from minilm_jax.config import OnnxPrecision, ParamsFormat

_FILE = ExistingPath(dir_okay=False, path_type=Path)
_FOLDER = ExistingPath(file_okay=False, path_type=Path)
_NEW = click.Path(path_type=Path)
_FORMAT = Choice(get_args(ParamsFormat))


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
def main(**_: bool) -> None:
    """Convert BERT sentence encoders between ONNX, Hugging Face and Flax.

    \b
    python -m convert onnx_to_flax                        all-MiniLM-L6-v2, obtained or made
    python -m convert onnx_to_flax model.onnx --out DIR   a file of your own
    python -m convert safetensors_to_flax HUB_FOLDER      a folder from the hub
    python -m convert flax_to_onnx DIR --out model.onnx   and back
    """


@main.command("onnx_to_flax")
@click.argument("model", type=_FILE, required=False)
@click.option("--out", type=_NEW, help="Folder to write; by default the file's name with -flax, here.")
@click.option("--format", type=_FORMAT, default="safetensors", show_default=True, help="Of the params.")
@click.option("--tokenizer", type=_FOLDER, help="Folder with its tokenizer.json.")
@click.option("--report", is_flag=True, help="Print where every weight came from.")
@quiet_option
def onnx_to_flax(
    model: Path | None, out: Path | None, format: ParamsFormat, tokenizer: Path | None, report: bool
) -> None:
    """Turn the weights of an ONNX file into Flax params, and prove them against its graph.

    \b
    python -m convert onnx_to_flax                        all-MiniLM-L6-v2
    python -m convert onnx_to_flax model.onnx --out DIR   a file with its tokenizer.json beside it
    python -m convert onnx_to_flax model.onnx --tokenizer HUB_FOLDER

    Without MODEL the default, all-MiniLM-L6-v2, is obtained. The folder that is written is all that is needed to load
    the model later; nothing is written unless the params compute what the graph does.
    """
    from convert.pipeline import convert_to_folder

    start_compilation_cache()
    written, record = convert_to_folder(model, out, format=format, tokenizer=tokenizer)
    if report:
        _print_weights(record)
    _print_proof(record)
    click.echo(f"{len(record['weights'])} arrays written to {written}")


@main.command("safetensors_to_flax")
@click.argument("source", default=DEFAULT_MODEL)
@click.option("--out", type=_NEW, help="Folder to write; by default the folder's name with -flax, here.")
@click.option("--format", type=_FORMAT, default="safetensors", show_default=True, help="Of the params.")
@quiet_option
def safetensors_to_flax(source: str, out: Path | None, format: ParamsFormat) -> None:
    """Turn a Hugging Face folder, or a model by its name, into Flax params.

    \b
    python -m convert safetensors_to_flax bge-small-en-v1.5 --out DIR
    """
    from convert.pipeline import hub_to_folder

    written, record = hub_to_folder(model_folder(source), out, format=format)
    click.echo(f"{len(record['weights'])} arrays written to {written}")


@main.command("flax_to_onnx")
@click.argument("folder", type=_FOLDER)
@click.option("--out", type=_NEW, required=True, help="ONNX file to write.")
@click.option("--precision", type=Choice(get_args(OnnxPrecision)), default="float32", show_default=True)
@click.option("--like", type=_FILE, help="ONNX file whose graph to keep, with the params of FOLDER in it.")
@quiet_option
def flax_to_onnx(folder: Path, out: Path, precision: OnnxPrecision, like: Path | None) -> None:
    """Write the model in FOLDER as a clean ONNX file (opset 17, dynamic batch and length), or into a graph you have.

    \b
    python -m convert flax_to_onnx DIR --out model.onnx
    python -m convert flax_to_onnx DIR --out model.int8.onnx --precision int8
    python -m convert flax_to_onnx DIR --out new.onnx --like model.onnx
    """
    from convert.pipeline import folder_to_onnx

    if like is not None and precision != "float32":
        raise click.UsageError("--like keeps the precision of its graph; leave --precision out.")
    start_compilation_cache()
    for name, agreement in folder_to_onnx(folder, out, precision=precision, like=like).items():
        difference, cosine = agreement.largest_difference, agreement.smallest_cosine
        click.echo(f"{name}: largest difference from the params {difference:.1e}, smallest cosine {cosine:.6f}")
    click.echo(f"{out.stat().st_size:,} bytes written to {out}")


def _print_weights(record: dict[str, Any]) -> None:
    for path, weight in record["weights"].items():
        undone = "".join(f" ← {operation}" for operation in reversed(weight["undone"]))
        click.echo(f"{path:58} {weight['source']} ({weight['stored']}){undone}, at {weight['node']}")


def _print_proof(record: dict[str, Any]) -> None:
    source, proof = record["source"], record["proof"]
    if source["published_as"]:
        click.echo(f"this is {source['published_as']}")
    for name, agreement in proof["outputs"].items():
        meaning = "" if agreement["meaning"] == name else f" ({agreement['meaning']})"
        difference = f"{agreement['largest_difference']:.1e} ({proof['runtime']})"
        click.echo(f"{name}{meaning}: largest difference from the ONNX graph {difference}")
    for name, agreement in proof["as_stored"].items():
        stored = ", ".join(source["stored_as"])
        cosines = f"mean {agreement['cosine']:.5f}, smallest {agreement['smallest_cosine']:.5f}"
        click.echo(f"{name}: with the file's own roundings ({stored}) its cosine with the params' is {cosines}")


if __name__ == "__main__":
    main(prog_name="python -m convert")
