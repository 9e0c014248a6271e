"""The files of a hub repository that its model needs. Pickles and code are never among them."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from minilm_jax.checkpoints.json_files import read_json

MODULES_FILE = "modules.json"
_SETTINGS = (
    "config.json",
    MODULES_FILE,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
HUB_FILE, HUB_INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
GRAPHS = ("onnx/model.onnx", "model.onnx")
# Large graphs store their weights in other files.
_GRAPH_DATA = re.compile(r"model(\.onnx)?[._]data(_\d+)?")
# The folder of a model without modules.
ROOT = "."


def module_folders(path: Path) -> list[str]:
    """Return the folders that `modules.json` names; the transformer's is the first.

    Raises:
        ModelFileError: The file is damaged.
    """
    entries: list[Any] = read_json(path, list)
    paths = [entry.get("path") for entry in entries if isinstance(entry, dict)]
    return [PurePosixPath(inner).as_posix() for inner in paths if isinstance(inner, str)] or [ROOT]


def settings_files(names: Collection[str], folders: Sequence[str]) -> list[str]:
    """Return the files with the settings and the tokenizer of a model.

    Args:
        names: All files of the repository.
        folders: The folders of its modules.
    """
    return [name for name in names if _name_in(name, [ROOT, *folders]) in _SETTINGS]


def weight_files(names: Collection[str], folders: Sequence[str], *, onnx: bool = False) -> list[str]:
    """Return the files with the weights of a model, or [] if none has a supported format.

    Args:
        names: All files of the repository.
        folders: The folders of its modules; the transformer's is the first.
        onnx: Whether the ONNX file is needed instead of safetensors.
    """
    transformer = [] if onnx else _safetensors(names, folders[0])
    others = [name for name in names if _name_in(name, folders[1:]) == HUB_FILE]
    weights = transformer or graph_files(names)
    return sorted({*weights, *others}) if weights else []


def graph_files(names: Collection[str]) -> list[str]:
    """Return the ONNX file of a repository, followed by the files with its data; or [] if there is none."""
    graph = next((name for name in GRAPHS if name in names), None)
    if graph is None:
        return []
    folder = PurePosixPath(graph).parent.as_posix()
    return [graph, *(name for name in names if _GRAPH_DATA.fullmatch(_name_in(name, [folder])))]


def local_names(folder: Path) -> list[str]:
    """Return the files below a folder, as the hub lists them."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def local_modules(folder: Path) -> list[str]:
    """Return the folders of the modules of a downloaded model.

    Raises:
        ModelFileError: `modules.json` is damaged.
    """
    return module_folders(folder / MODULES_FILE) if (folder / MODULES_FILE).is_file() else [ROOT]


def has_safetensors(folder: Path) -> bool:
    """Return whether a downloaded model has weights as safetensors.

    Raises:
        ModelFileError: `modules.json` is damaged.
    """
    return bool(_safetensors(local_names(folder), local_modules(folder)[0]))


def _safetensors(names: Collection[str], folder: str) -> list[str]:
    own = {_name_in(name, [folder]): name for name in names}
    if HUB_FILE in own:
        return [own[HUB_FILE]]
    shards = [own[name] for name in own if _SHARD.fullmatch(name)]
    return [own[HUB_INDEX], *shards] if HUB_INDEX in own else []


def _name_in(path: str, folders: Collection[str]) -> str:
    """Return the name of a file that is directly in one of the folders, or ""."""
    parts = PurePosixPath(path)
    return parts.name if parts.parent.as_posix() in folders else ""
