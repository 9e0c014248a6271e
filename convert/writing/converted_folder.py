"""Write the model folder of a conversion: params, config, tokenizer files and the record `conversion.json`."""

import dataclasses
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from convert.known_files import KNOWN_FILES
from convert.onnx_to_flax import Conversion
from convert.reading.onnx_file import OnnxFile
from convert.verification.verify import Agreement, Verification
from minilm_jax import __version__
from minilm_jax.atomic_files import atomic_folder
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.checkpoints.weights import params_file, save_params
from minilm_jax.config import EncoderConfig, ParamsFormat
from minilm_jax.errors import ConversionError
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
    copied_from: Sequence[Path],
    record: Mapping[str, Any],
    format: ParamsFormat,
) -> None:
    """Write a model folder.

    Args:
        out: The folder; an earlier conversion in it is replaced.
        params: The parameter tree.
        config: Sizes of the encoder.
        copied_from: The folders from which the files of the tokenizer and of sentence-transformers are copied; the
            first one that has a file provides it.
        record: The content of `conversion.json`.
        format: File format of the params.

    Raises:
        ConversionError: `out` exists and is not a conversion, or contains other files.
        OSError: The folder cannot be written.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file()):
        raise ConversionError(f"{out} exists and is not a converted model; choose another folder with --out.")
    own = {RECORD, "config.json", *_COPIED, *map(params_file, get_args(ParamsFormat))}
    if foreign := sorted({path.name for path in out.glob("*")} - own):
        raise ConversionError(
            f"{out} also contains {foreign[0]!r}, which would be lost; choose another folder with --out."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out, params_file(format), own) as new:
        save_params(params, new / params_file(format))
        _write_json(new / "config.json", config.to_dict())
        for name in _COPIED:
            if (found := next((each / name for each in copied_from if (each / name).is_file()), None)) is not None:
                shutil.copyfile(found, new / name)
        _write_json(new / RECORD, record)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record in a converted folder, or None if there is none."""
    try:
        return json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def describe(source: OnnxFile, conversion: Conversion) -> dict[str, Any]:
    """Return the record of a conversion: the source, the origin of every weight, and the verification."""
    model = source.model
    return {
        "source": {
            "file": source.path.name,
            "sha256": source.sha256,
            "published_as": KNOWN_FILES.get(source.sha256),
            "opset": source.opset,
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
            "stored_as": sorted({weight.stored for weight in conversion.layout.weights.values()}),
        },
        "proof": _verification_record(conversion.verification),
        "weights": {
            path: {
                "source": weight.source,
                "node": weight.node,
                "stored": weight.stored,
                "undone": list(map(str, weight.undone)),
            }
            for path, weight in sorted(conversion.layout.weights.items())
        },
        "versions": versions(),
    }


def _verification_record(verification: Verification) -> dict[str, Any]:
    return {
        "outputs": {name: _agreement_record(found) for name, found in verification.outputs.items()},
        "other_outputs": {name: str(other) for name, other in verification.others.items()},
        "tolerance": verification.tolerance,
        "as_stored": {name: _agreement_record(found) for name, found in verification.as_stored.items()},
        "runtime": verification.runtime,
    }


def _agreement_record(agreement: Agreement) -> dict[str, Any]:
    return dataclasses.asdict(agreement) | {"meaning": str(agreement.meaning)}


def versions() -> dict[str, str]:
    """Return the versions of minilm-jax, Python and the packages that a conversion depends on."""
    own = {"minilm-jax": __version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}


def find_tokenizer_folder(model: Path) -> Path | None:
    """Return the folder with the tokenizer of an ONNX file: its own or, as in hub repositories, its parent; or None."""
    return next((folder for folder in (model.parent, model.parent.parent) if (folder / TOKENIZER_FILE).is_file()), None)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
