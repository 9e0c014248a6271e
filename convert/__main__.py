"""The command line of the converter, `python -m convert`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.hub import HubOptions, download, is_hub_name
from minilm_jax.checkpoints.hub_conversion import onnx_copy
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2
from minilm_jax.cli.command_group import CONTEXT_SETTINGS, CommandGroup, quiet_option
from minilm_jax.cli.parameter_types import Choice, ExistingPath
from minilm_jax.config import OnnxPrecision, ParamsFormat
from minilm_jax.errors import InputError

_FILE = ExistingPath(dir_okay=False, path_type=Path)
_FOLDER = ExistingPath(file_okay=False, path_type=Path)
_NEW = click.Path(path_type=Path)
_FORMAT = Choice(get_args(ParamsFormat))
_PRECISION = Choice(get_args(OnnxPrecision))


_revision_option = click.option("--revision", help="Branch, tag or commit on the Hugging Face hub.")


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
def main(**_: bool) -> None:
    """Convert BERT sentence encoders, cross-encoders and sparse encoders between ONNX, Hugging Face and Flax.

    \b
    python -m convert onnx_to_flax                        all-MiniLM-L6-v2, downloaded
    python -m convert onnx_to_flax model.onnx --out DIR   your own ONNX file
    python -m convert safetensors_to_flax HUB_FOLDER      a folder from the Hugging Face Hub
    python -m convert flax_to_onnx DIR --out model.onnx   Flax params back to ONNX
    """


@main.command("onnx_to_flax")
@click.argument("model", required=False)
@click.option("--out", type=_NEW, help="Folder to write; default: the name of MODEL followed by -flax.")
@click.option("--format", type=_FORMAT, default="safetensors", show_default=True, help="File format of the params.")
@click.option("--tokenizer", type=_FOLDER, help="Folder with the tokenizer.json of the model.")
@_revision_option
@click.option("--pooling", help="mean, cls, max, …; default: as stated by the graph or the model folder.")
@click.option("--report", is_flag=True, help="Print the origin of every weight.")
@quiet_option
def onnx_to_flax(
    model: str | None,
    out: Path | None,
    format: ParamsFormat,
    tokenizer: Path | None,
    pooling: str | None,
    revision: str | None,
    report: bool,
) -> None:
    """Convert the weights of an ONNX file to Flax params, and verify them against its graph.

    \b
    python -m convert onnx_to_flax                        all-MiniLM-L6-v2
    python -m convert onnx_to_flax model.onnx --out DIR   tokenizer.json in the same folder
    python -m convert onnx_to_flax model.onnx --tokenizer HUB_FOLDER
    python -m convert onnx_to_flax Xenova/bge-small-en-v1.5

    MODEL is an ONNX file or the name of a model on the Hugging Face hub, whose onnx/model.onnx is downloaded. Without
    MODEL, all-MiniLM-L6-v2 is downloaded. The new folder contains everything that is needed to load the
    model. Nothing is written if the outputs of the params differ from those of the graph.
    """
    from convert.pipeline import convert_to_folder

    with _onnx_file(model, revision) as path:
        if out is None and model is not None:
            out = Path(f"{Path(model).stem if Path(model).is_file() else Path(model).name}-flax")
        written, record = convert_to_folder(path, out, format=format, tokenizer=tokenizer, pooling=pooling)
    if report:
        _print_weights(record)
    _print_verification(record)
    _print_settings(record)
    for warning in record["warnings"]:
        click.echo(f"warning: {warning}")
    click.echo(f"{len(record['weights'])} arrays written to {written}")


@main.command("safetensors_to_flax")
@click.argument("source", default=DEFAULT_MODEL)
@click.option("--out", type=_NEW, help="Folder to write; default: the name of SOURCE followed by -flax.")
@click.option("--format", type=_FORMAT, default="safetensors", show_default=True, help="File format of the params.")
@click.option("--tokenizer", type=_FOLDER, help="Folder with the tokenizer.json of the model.")
@_revision_option
@click.option("--report", is_flag=True, help="Print the origin of every weight.")
@quiet_option
def safetensors_to_flax(
    source: str, out: Path | None, format: ParamsFormat, tokenizer: Path | None, revision: str | None, report: bool
) -> None:
    """Convert a Hugging Face folder, or a model by its name, to Flax params.

    \b
    python -m convert safetensors_to_flax bge-small-en-v1.5 --out DIR
    python -m convert safetensors_to_flax BAAI/bge-small-en-v1.5
    """
    from convert.pipeline import hub_to_folder

    folder = model_folder(source, hub=HubOptions(revision))
    out = out or Path(f"{Path(source).resolve().name}-flax")
    written, record = hub_to_folder(folder, out, format=format, tokenizer=tokenizer)
    if report:
        _print_weights(record)
    _print_settings(record)
    click.echo(f"{len(record['weights'])} arrays written to {written}")


@main.command("flax_to_onnx")
@click.argument("folder", type=_FOLDER)
@click.option("--out", type=_NEW, required=True, help="ONNX file to write.")
@click.option("--precision", type=_PRECISION, default="float32", show_default=True, help="Precision of the new graph.")
@click.option("--like", type=_FILE, help="Existing ONNX file to copy, with its weights replaced by those of FOLDER.")
@quiet_option
def flax_to_onnx(folder: Path, out: Path, precision: OnnxPrecision, like: Path | None) -> None:
    """Write the model in FOLDER as an ONNX file (opset 17, dynamic batch and length), or into an existing graph.

    \b
    python -m convert flax_to_onnx DIR --out model.onnx
    python -m convert flax_to_onnx DIR --out model.int8.onnx --precision int8
    python -m convert flax_to_onnx DIR --out new.onnx --like model.onnx
    """
    from convert.pipeline import folder_to_onnx

    if like is not None and precision != "float32":
        raise click.UsageError("--like keeps the precision of its graph; omit --precision.")
    for name, agreement in folder_to_onnx(folder, out, precision=precision, like=like).items():
        difference, cosine = agreement.largest_difference, agreement.smallest_cosine
        click.echo(f"{name}: largest difference from the params {difference:.1e}, smallest cosine {cosine:.6f}")
    click.echo(f"{out.stat().st_size:,} bytes written to {out}")


@contextlib.contextmanager
def _onnx_file(model: str | None, revision: str | None) -> Iterator[Path | None]:
    """Yield the path of an ONNX file, which is downloaded if `model` is a name; None for the default model."""
    if model is None or (PINNED_ALL_MINILM_L6_V2.includes(model, revision) and not Path(model).exists()):
        yield None
    elif not is_hub_name(model) or Path(model).exists():
        if not Path(model).is_file():
            raise InputError(f"{model!r} is not an ONNX file. Pass a file, or the name of a model on the hub.")
        yield Path(model)
    else:
        with onnx_copy(download(model, HubOptions(revision), onnx=True), model) as path:
            yield path


def _print_weights(record: dict[str, Any]) -> None:
    for path, weight in record["weights"].items():
        undone = "".join(f" ← {operation}" for operation in reversed(weight["undone"]))
        click.echo(f"{path:58} {weight['source']} ({weight['stored']}){undone}, at {weight['node']}")


def _print_settings(record: dict[str, Any]) -> None:
    name = "head" if "head" in record else "pooling"
    settings, option = record[name], " (see --pooling)" if name == "pooling" else ""
    if "assumed" in settings:
        click.echo(f"{name} assumed: {settings['assumed']}; neither the graph nor its folder states it{option}")
    else:
        click.echo(f"{name}: {settings['stated']} (from {settings['source']})")


def _print_verification(record: dict[str, Any]) -> None:
    source, verification = record["source"], record["proof"]
    if source["published_as"]:
        click.echo(f"this is {source['published_as']}")
    for name, agreement in verification["outputs"].items():
        meaning = "" if agreement["meaning"] == name else f" ({agreement['meaning']})"
        difference = f"{agreement['largest_difference']:.1e} ({verification['runtime']})"
        click.echo(f"{name}{meaning}: largest difference from the ONNX graph {difference}")
    for name, agreement in verification["as_stored"].items():
        stored = ", ".join(source["stored_as"])
        cosines = f"mean {agreement['cosine']:.5f}, smallest {agreement['smallest_cosine']:.5f}"
        click.echo(f"{name}: with the roundings of the file ({stored}), the cosine with the params is {cosines}")


if __name__ == "__main__":
    main(prog_name="python -m convert")
