"""The folder that an index is kept in: `vectors.safetensors`, `index.json` with the texts, and usearch's graph."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.weights import write_safetensors
from minilm_jax.errors import InputError, SearchIndexError

GRAPH_FILE = "graph.usearch"
_VECTORS_FILE, _INDEX_FILE = "vectors.safetensors", "index.json"
_FORMAT = 1


class Stored(NamedTuple):
    """What the two files hold.

    Attributes:
        model: Fingerprint of the model that the vectors are from.
        backend: How they are searched.
        texts: n of them.
        vectors: float32[n, D], of unit length.
    """

    model: str
    backend: str
    texts: list[str]
    vectors: NDArray[np.float32]


@contextmanager
def written(path: Path, stored: Stored) -> Iterator[Path]:
    """Writes a folder, which appears in one step when the block, that may add files to it, ends.

    Args:
        path: The folder; an index that is there already is replaced.
        stored: What to keep.

    Yields:
        The folder while it is written.

    Raises:
        InputError: There is something else, which would be lost.
        OSError: It cannot be written.
    """
    others = {file.name for file in path.iterdir()} - {GRAPH_FILE, _VECTORS_FILE, _INDEX_FILE} if path.is_dir() else ()
    if others or path.is_file():
        raise InputError(f"{path} is no search index and would be lost; choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as new:
        new.mkdir()
        write_safetensors({"vectors": stored.vectors}, new / _VECTORS_FILE, "np")
        about = {"format": _FORMAT, "model": stored.model, "backend": stored.backend, "texts": stored.texts}
        (new / _INDEX_FILE).write_text(json.dumps(about, ensure_ascii=False, indent=0), "utf-8")
        yield new


def read(path: Path) -> Stored:
    """Reads a folder.

    Args:
        path: The folder.

    Returns:
        What was kept.

    Raises:
        SearchIndexError: It is missing, damaged, or of a later version.
    """
    if not (path / _INDEX_FILE).is_file():
        raise SearchIndexError(f"{path} holds no search index; build one, and save it there.")
    try:
        return _read(path)
    except Exception as error:  # Each reader raises errors of its own kind.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SearchIndexError(f"{path} is a damaged search index ({reason:.200}); build it again.") from error


def _read(path: Path) -> Stored:
    from safetensors.numpy import load_file

    about: Any = json.loads((path / _INDEX_FILE).read_text("utf-8"))
    if about["format"] != _FORMAT:
        raise ValueError(f"its format is {about['format']!r:.20}, not {_FORMAT}")
    vectors = load_file(path / _VECTORS_FILE)["vectors"]
    stored = Stored(str(about["model"]), str(about["backend"]), list(map(str, about["texts"])), vectors)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(stored.texts):
        raise ValueError(f"{len(stored.texts)} texts have vectors {vectors.dtype}{list(vectors.shape)}")
    return stored
