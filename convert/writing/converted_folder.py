"""The folder that a conversion writes: params, config, tokenizer and a record; all that is needed to load the model."""

import dataclasses
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from convert.known_files import KNOWN_FILES
from convert.onnx_to_flax import Conversion
from convert.reading.onnx_file import OnnxFile
from minilm_jax import __version__
from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.checkpoints.weights import params_file, save_params
from minilm_jax.config import EncoderConfig, ParamsFormat
from minilm_jax.errors import ConversionError, ModelFileError
from minilm_jax.nn.params import Params

RECORD = "conversion.json"
_COPIED = (
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_PACKAGES = ("jax", "jaxlib", "flax", "onnx", "numpy")


def write_folder(
    out: Path,
    params: Params,
    config: EncoderConfig,
    *,
    companions: Path,
    record: Mapping[str, Any],
    format: ParamsFormat,
) -> None:
    """Writes a model folder in one step: it is there whole or not at all.

    Args:
        out: The folder; an earlier conversion in it is replaced.
        params: The parameter tree.
        config: Its sizes.
        companions: A folder with the model's tokenizer files, which are copied.
        record: What to keep as `conversion.json`.
        format: Of the params.

    Raises:
        ConversionError: `out` exists and is no conversion's.
        OSError: The folder cannot be written.
    """
    if out.exists() and not (out / RECORD).is_file():
        raise ConversionError(f"{out} exists and holds no conversion; choose another folder with --out.")
    own = {RECORD, "config.json", *_COPIED, *map(params_file, get_args(ParamsFormat))}
    if foreign := sorted({path.name for path in out.glob("*")} - own):
        raise ConversionError(
            f"{out} also holds {foreign[0]!r}, which would be lost; choose another folder with --out."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as new:
        new.mkdir()
        save_params(params, new / params_file(format))
        _write_json(new / "config.json", config.to_dict())
        for name in _COPIED:
            if (companions / name).is_file():
                shutil.copyfile(companions / name, new / name)
        _write_json(new / RECORD, record)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Returns the record of the conversion that made a folder, or None where there is none."""
    try:
        return json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def describe(source: OnnxFile, conversion: Conversion) -> dict[str, Any]:
    """Returns the record of a conversion: what was matched to what, and the proof."""
    model, proof = source.model, conversion.proof
    return {
        "source": {
            "file": source.path.name,
            "sha256": source.sha256,
            "published_as": KNOWN_FILES.get(source.sha256),
            "opset": source.opset,
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
            "stored_as": sorted({weight.stored for weight in conversion.layout.weights.values()}),
        },
        "proof": dataclasses.asdict(proof),
        "weights": {
            path: {
                "source": weight.source,
                "node": weight.node,
                "stored": weight.stored,
                "undone": list(weight.undone),
            }
            for path, weight in sorted(conversion.layout.weights.items())
        },
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Returns the versions of this project, of Python and of the packages that a conversion depends on."""
    own = {"minilm-jax": __version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}


def companion_folder(model: Path) -> Path | None:
    """Returns the folder of an ONNX file's tokenizer: its own, or the one above it as in hub repositories, or None."""
    return next((folder for folder in (model.parent, model.parent.parent) if (folder / TOKENIZER_FILE).is_file()), None)


def with_pooling_of(config: EncoderConfig, folder: Path) -> EncoderConfig:
    """Returns the config with the pooling and normalisation that a model folder states; its sizes stay."""
    try:
        stated = read_config(folder)
    except ModelFileError:
        return config
    return dataclasses.replace(config, pooling=stated.pooling, normalize=stated.normalize)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
