"""From file to file: the conversions as the command line, the demo and other programs call them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx

from convert.default_model import default_onnx_file
from convert.flax_to_onnx import to_onnx
from convert.graph.graph import Constant
from convert.known_files import KNOWN_FILES
from convert.onnx_to_flax import Conversion, convert
from convert.reading.onnx_file import read_onnx
from convert.verification.verify import Agreement, agreement
from convert.writing.converted_folder import companion_folder, describe, versions, with_pooling_of, write_folder
from convert.writing.write_back import write_back
from minilm_jax import progress
from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.sources import sha256_of
from minilm_jax.checkpoints.weights import HUB_FILE, load_params
from minilm_jax.config import ALL_MINILM_L6_V2, OnnxPrecision, ParamsFormat
from minilm_jax.errors import ConversionError
from minilm_jax.nn.params import Params, flatten

# Rounding to 8 bits costs a cosine of 0.01 or so; less than this is no rounding.
_LEAST_COSINE = 0.9
# What tells models apart that have one vocabulary; a graph may know fewer positions and token types than its model.
_MODEL_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def convert_to_folder(
    model: Path | None = None,
    out: Path | None = None,
    *,
    format: ParamsFormat = "safetensors",
    tokenizer: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Converts an ONNX file to a model folder.

    Args:
        model: The file, or None for all-MiniLM-L6-v2.
        out: The folder to write; by default the file's name with `-flax`, in the current folder.
        format: Of the params.
        tokenizer: A folder with the model's tokenizer; by default the file's own folder or the one above it, and
            all-MiniLM-L6-v2's where neither has one and the sizes are its own.

    Returns:
        The folder and the record that was written into it.

    Raises:
        ConversionError: The file is no BERT encoder, has no tokenizer, or could not be proved; nothing is written.
    """
    path = model or default_onnx_file()
    source = read_onnx(path)
    with progress.stages(path.stat().st_size, ("proving", "writing")) as done:
        try:
            conversion = convert(source.model, vouched=model is None or source.sha256 in KNOWN_FILES)
        except ConversionError as error:
            raise ConversionError(f"{path}: {error}") from error.__cause__
        done()
        if model is None:
            conversion = _with_pooler(conversion)
        companions = tokenizer or (model and companion_folder(model)) or _default_companions(path, conversion)
        record = describe(source, conversion) | {"tokenizer_from": companions.name}
        out = out or Path(f"{path.stem}-flax")
        config = conversion.config if conversion.pools else with_pooling_of(conversion.config, companions)
        write_folder(out, conversion.params, config, companions=companions, record=record, format=format)
        done()
    return out, record


def hub_to_folder(folder: Path, out: Path | None, *, format: ParamsFormat) -> tuple[Path, dict[str, Any]]:
    """Converts a folder from the hub, with `model.safetensors` in it, to a model folder.

    Args:
        folder: The hub's folder.
        out: The folder to write; by default its name with `-flax`, in the current folder.
        format: Of the params.

    Returns:
        The folder and the record that was written into it.

    Raises:
        ModelFileError: A file is missing, damaged, or of another kind of model.
    """
    config = read_config(folder)
    params = load_params(folder / HUB_FILE, config)
    weights = {path: {"source": HUB_FILE, "undone": []} for path in flatten(params)}
    source = {"file": HUB_FILE, "sha256": sha256_of(folder / HUB_FILE)}
    record = {"source": source, "weights": weights, "versions": versions()}
    out = out or Path(f"{folder.name}-flax")
    write_folder(out, params, config, companions=folder, record=record, format=format)
    return out, record


def folder_to_onnx(
    folder: Path, out: Path, *, precision: OnnxPrecision = "float32", like: Path | None = None
) -> Mapping[str, Agreement]:
    """Writes the model in a folder as an ONNX file, after reading it back and comparing.

    Args:
        folder: A model folder.
        out: The file, replaced in one step.
        precision: Of the new graph.
        like: An ONNX file whose graph is kept, with these params in the place of its own.

    Returns:
        How each output of the graph agrees with the params.

    Raises:
        ConversionError: The graph does not compute what the params do; nothing is written.
        OSError: The file cannot be written.
    """
    config = read_config(folder)
    params = load_params(folder, config)
    arrays = jax.tree.map(np.asarray, params)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    with progress.stages(size, ("building", "proving", "writing")) as done:
        graph = None if like is None else read_onnx(like).model
        model = to_onnx(params, config, precision=precision) if graph is None else write_back(params, graph)
        done()
        agreements = _checked(model, arrays, vouched=like is None)
        done()
        with atomic_write(out) as written:
            written.write_bytes(model.SerializeToString(deterministic=True))
        done()
    return agreements


def _checked(model: onnx.ModelProto, params: Params, *, vouched: bool) -> Mapping[str, Agreement]:
    """Converts a model back, which proves it against its own numbers, and compares it with the params."""
    back = convert(model, vouched=vouched)
    leaves = flatten(params)
    if all(np.array_equal(leaf, leaves[path]) for path, leaf in flatten(back.params).items()):
        return back.proof.outputs
    agreements = agreement(model, back.layout, params, runtime=back.proof.runtime)
    for name, found in agreements.items():
        if not found.smallest_cosine >= _LEAST_COSINE:
            raise ConversionError(
                f"output {name!r} of the rounded graph has a cosine of {found.smallest_cosine:.3f} with the params';"
                " nothing was written."
            )
    return agreements


def _with_pooler(conversion: Conversion) -> Conversion:
    """Completes the default model: the hub's ONNX file of it has no pooler, its `model.safetensors` has."""
    if "pooler" in conversion.params:
        return conversion
    pooler = {"pooler": jax.tree.map(np.asarray, load_params(DEFAULT_MODEL)["pooler"])}
    sources = {path: Constant(leaf, HUB_FILE, stored="float32") for path, leaf in flatten(pooler).items()}
    layout = dataclasses.replace(conversion.layout, weights={**conversion.layout.weights, **sources})
    return dataclasses.replace(conversion, params=conversion.params | pooler, layout=layout)


def _default_companions(path: Path, conversion: Conversion) -> Path:
    if any(getattr(conversion.config, size) != getattr(ALL_MINILM_L6_V2, size) for size in _MODEL_SIZES):
        raise ConversionError(
            f"{path}: there is no tokenizer.json beside it, and its sizes are not those of {DEFAULT_MODEL}; pass the"
            " folder of its tokenizer and pooling with --tokenizer."
        )
    return model_folder(DEFAULT_MODEL)
