"""Folder of a saved index: `vectors.safetensors`, `index.json` with the texts, and the graph of usearch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from minilm_jax.atomic_files import atomic_folder
from minilm_jax.checkpoints.weights import write_safetensors
from minilm_jax.config import SearchBackend
from minilm_jax.errors import InputError, SearchIndexError

GRAPH_FILE = "graph.usearch"
_VECTORS_FILE, _INDEX_FILE = "vectors.safetensors", "index.json"
_VERSION = 1


class StoredIndex(NamedTuple):
    """Content of the two files.

    Attributes:
        model: Fingerprint of the model that embedded the texts.
        backend: "exact" or "usearch".
        texts: n texts.
        vectors: float32[n, D], of unit length.
    """

    model: str
    backend: SearchBackend
    texts: list[str]
    vectors: NDArray[np.float32]


@contextmanager
def write_index(path: Path, stored: StoredIndex) -> Iterator[Path]:
    """Write a folder, whose files appear when the block ends; the block may add files to it.

    Args:
        path: The folder; an existing index in it is replaced, and other files stay.
        stored: Content to write.

    Yields:
        The temporary folder.

    Raises:
        InputError: The path is a file.
        OSError: The folder cannot be written.
    """
    if path.is_file():
        raise InputError(f"{path} is a file; choose a folder for the index.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path, _INDEX_FILE, {GRAPH_FILE, _VECTORS_FILE, _INDEX_FILE}) as new:
        write_safetensors({"vectors": stored.vectors}, new / _VECTORS_FILE, "np")
        about = {"format": _VERSION, "model": stored.model, "backend": stored.backend, "texts": stored.texts}
        (new / _INDEX_FILE).write_text(json.dumps(about, ensure_ascii=False, indent=0), "utf-8")
        yield new


def read_index(path: Path) -> StoredIndex:
    """Read a folder that `write_index` wrote.

    Args:
        path: The folder.

    Returns:
        Its content.

    Raises:
        SearchIndexError: The index is missing, damaged, or in a later format.
    """
    if not (path / _INDEX_FILE).is_file():
        raise SearchIndexError(f"{path} does not contain a search index; build one and save it there.")
    try:
        return _read(path)
    except Exception as error:  # Each reader raises its own types of errors.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SearchIndexError(f"{path} is a damaged search index ({reason:.200}); build it again.") from error


def _read(path: Path) -> StoredIndex:
    about: Any = json.loads((path / _INDEX_FILE).read_text("utf-8"))
    if about["format"] != _VERSION:
        raise ValueError(f"its format is {about['format']!r:.20}, not {_VERSION}")
    vectors = load_file(path / _VECTORS_FILE)["vectors"]
    stored = StoredIndex(str(about["model"]), about["backend"], list(map(str, about["texts"])), vectors)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(stored.texts):
        raise ValueError(f"{len(stored.texts)} texts have vectors {vectors.dtype}{list(vectors.shape)}")
    return stored
