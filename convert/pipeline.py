"""Convert files and folders: the functions behind the command line and the demo."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx

from convert.default_model import default_onnx_file
from convert.flax_to_onnx import to_onnx
from convert.graph.constant import Constant
from convert.graph.lowering import plain_graph
from convert.known_files import KNOWN_FILES
from convert.onnx_to_flax import Conversion, convert
from convert.reading.large_models import is_large, with_external_data
from convert.reading.onnx_file import read_onnx
from convert.recognition.bert_layout import recognize
from convert.verification.verify import Agreement, Meaning, compare
from convert.writing.converted_folder import describe, find_tokenizer_folder, versions, write_folder
from convert.writing.requirements import check_requirements, warnings_of
from convert.writing.sentence_pooling import ChosenPooling, choose_pooling
from convert.writing.write_back import write_back
from minilm_jax import progress
from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import read_config, read_pooling
from minilm_jax.checkpoints.hub_files import HUB_FILE
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.checkpoints.sentence_modules import transformer_folder
from minilm_jax.checkpoints.sources import sha256_of
from minilm_jax.checkpoints.weights import find_weights, load_params
from minilm_jax.config import OnnxPrecision, ParamsFormat
from minilm_jax.errors import ConversionError, ModelFileError
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import Params, flatten, unflatten

# Rounding to 8 bits lowers the cosine by about 0.01, so a lower cosine than this has another cause.
_MIN_COSINE = 0.9
_POOLER = "pooler."


def convert_to_folder(
    model: Path | None = None,
    out: Path | None = None,
    *,
    format: ParamsFormat = "safetensors",
    tokenizer: Path | None = None,
    pooling: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Convert an ONNX file to a model folder.

    Args:
        model: The file, or None for all-MiniLM-L6-v2.
        out: The folder to write; default: the name of the file with `-flax`, in the current folder.
        format: File format of the params.
        tokenizer: A folder with the tokenizer; default: the folder of the file or its parent. If neither has one and
            the sizes are those of all-MiniLM-L6-v2, its tokenizer is used.
        pooling: The pooling, which overrides that of the graph and of the model folder.

    Returns:
        The folder and the record written to it.

    Raises:
        ConversionError: The file is not a BERT encoder, lacks a tokenizer or fails verification; nothing is written.
    """
    path = model or default_onnx_file()
    source = read_onnx(path)
    with progress.stages(path.stat().st_size, ("verifying", "writing")) as done:
        texts_from = tokenizer or (model and find_tokenizer_folder(model))
        is_known = model is None or source.sha256 in KNOWN_FILES
        try:
            layout = recognize(plain_graph(source.model))
            check_requirements(layout.config, trusted=is_known, has_tokenizer=texts_from is not None)
            conversion = convert(source.model, trusted=is_known, pooling=pooling, layout=layout)
        except ConversionError as error:
            raise ConversionError(f"{path}: {error}") from error.__cause__
        done()
        if model is None:
            conversion = _with_pooler(conversion)
        texts_from = texts_from or model_folder(DEFAULT_MODEL)
        pooled = choose_pooling(conversion, path, tokenizer, pooling, is_known=is_known)
        warnings = warnings_of(conversion, path, texts_from)
        record = describe(source, conversion) | {"tokenizer_from": texts_from.name, **pooled.record()}
        record |= {"warnings": warnings}
        out = out or Path(f"{path.stem}-flax")
        params = EncoderParams(unflatten({**conversion.leaves, **pooled.leaves}), pooled.config)
        write_folder(out, params, pooled.config, copied_from=(texts_from,), record=record, format=format)
        done()
    return out, record


def hub_to_folder(
    folder: Path, out: Path | None, *, format: ParamsFormat, tokenizer: Path | None = None
) -> tuple[Path, dict[str, Any]]:
    """Convert a folder from the Hugging Face hub, which contains `model.safetensors` or its shards, to a model folder.

    Args:
        folder: The folder from the hub.
        out: The folder to write; default: the name of `folder` with `-flax`, in the current folder.
        format: File format of the params.
        tokenizer: A folder with the tokenizer; default: `folder`.

    Returns:
        The folder and the record written to it.

    Raises:
        ModelFileError: A file is missing, damaged, or belongs to another kind of model.
    """
    texts_from = tokenizer or transformer_folder(folder)
    if not (texts_from / TOKENIZER_FILE).is_file():
        raise ModelFileError(
            f"{texts_from} has no {TOKENIZER_FILE}, which is needed to load the model; pass its folder with"
            " --tokenizer."
        )
    path = find_weights(folder)
    params = load_params(folder)
    weights = {
        name: {"source": path.name, "stored": "safetensors", "undone": [], "node": ""} for name in flatten(params)
    }
    is_stated = params.config.classifier is not None or read_pooling(folder) is not None
    pooling = ChosenPooling(params.config, {}, folder.name if is_stated else None)
    record = {
        "source": {"file": path.name, "sha256": sha256_of(path)},
        **pooling.record(),
        "weights": weights,
        "versions": versions(),
    }
    out = out or Path(f"{folder.resolve().name}-flax")
    sources = (texts_from,) if tokenizer else (texts_from, folder)
    write_folder(out, params, params.config, copied_from=sources, record=record, format=format)
    return out, record


def folder_to_onnx(
    folder: Path, out: Path, *, precision: OnnxPrecision = "float32", like: Path | None = None
) -> Mapping[str, Agreement]:
    """Write the model in a folder as an ONNX file, after converting it back and comparing.

    Args:
        folder: A model folder.
        out: The file, replaced atomically if it exists. The weights of a model above 2 GiB are written to a second
            file, whose name has the suffix `.data`.
        precision: Precision of the new graph.
        like: An ONNX file whose graph is kept and whose weights are replaced.

    Returns:
        The agreement of each output of the graph with the params.

    Raises:
        ConversionError: The outputs of the graph differ from those of the params; nothing is written.
        OSError: The file cannot be written.
    """
    config = read_config(folder)
    params = load_params(folder, config)
    arrays = jax.tree.map(np.asarray, params)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    with progress.stages(size, ("building", "verifying", "writing")) as done:
        graph = None if like is None else read_onnx(like).model
        model = to_onnx(params, config, precision=precision) if graph is None else write_back(params, graph)
        done()
        agreements = _verified(model, arrays, trusted=like is None)
        done()
        _write(model, out)
        done()
    return agreements


def _write(model: onnx.ModelProto, out: Path) -> None:
    if not is_large(model):
        with atomic_write(out) as written:
            written.write_bytes(model.SerializeToString(deterministic=True))
        return
    data = out.with_name(f"{out.name}.data")
    with atomic_write(out) as written, atomic_write(data) as written_data:
        written.write_bytes(with_external_data(model, written_data).SerializeToString(deterministic=True))


def _verified(model: onnx.ModelProto, params: Params, *, trusted: bool) -> Mapping[str, Agreement]:
    """Convert a model back, which verifies it, and compare the result with the params."""
    back = convert(model, trusted=trusted)
    leaves = flatten(params)
    if all(np.array_equal(leaf, leaves[path]) for path, leaf in back.leaves.items()):
        return back.verification.outputs
    meanings: dict[str, Meaning] = {name: agreement.meaning for name, agreement in back.verification.outputs.items()}
    agreements = compare(model, back.layout, params, runtime=back.verification.runtime, meanings=meanings)
    for name, found in agreements.items():
        if not found.smallest_cosine >= _MIN_COSINE:
            raise ConversionError(
                f"output {name!r} of the rounded graph has a cosine of {found.smallest_cosine:.3f} with that of the"
                " params; nothing was written."
            )
    return agreements


def _with_pooler(conversion: Conversion) -> Conversion:
    """Add the pooler to the default model: its `model.safetensors` has one, but its ONNX file on the hub does not."""
    if any(path.startswith(_POOLER) for path in conversion.leaves):
        return conversion
    hub = flatten(load_params(DEFAULT_MODEL))
    pooler = {path: np.asarray(leaf) for path, leaf in hub.items() if path.startswith(_POOLER)}
    sources = {path: Constant(leaf, HUB_FILE, stored="float32") for path, leaf in pooler.items()}
    layout = dataclasses.replace(conversion.layout, weights={**conversion.layout.weights, **sources})
    return dataclasses.replace(conversion, leaves={**conversion.leaves, **pooler}, layout=layout)
