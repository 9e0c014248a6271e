"""One file for each library measured, set up as its own documentation says is fastest on a CPU.

Each has `load(folder, precision, **options)`, which returns a `Model`, or a `TextModel` where token ids are not taken;
those that need the model in a form of their own also have `prepare(folder, precision)`, which writes it into
`prepared_folder()`, once.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Of minilm-jax, whose words everything else is named in.
Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]

# What an engine that has streams is tuned for.
Hint: TypeAlias = Literal["latency", "throughput"]

# int32[B, T], float32[B, D].
Ids: TypeAlias = NDArray[np.int32]
Vectors: TypeAlias = NDArray[np.float32]

# Of every contender alike.
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class TextModel(Protocol):
    """A loaded contender, of levels that measure texts."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embeds texts, cut at 256 tokens."""
        ...


class Model(TextModel, Protocol):
    """One that takes token ids too."""

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        """Embeds batches of token ids without padding, which do not wait for each other; a list of one is latency."""
        ...


def prepared_folder() -> Path:
    """Returns the folder of the files that peers need, beside the models of minilm-jax."""
    from minilm_jax.checkpoints.cache import cache_folder

    return cache_folder() / "benchmarks"


def prepared(name: str, make: Callable[[Path], None]) -> Path:
    """Returns a file or folder that is made once.

    Args:
        name: What it is called; names the version of what makes it.
        make: Writes it to the path it is given, whose folder is there.

    Returns:
        The path, which exists only when all of it was written.
    """
    path = prepared_folder() / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as unfinished:
            made = Path(unfinished) / name
            make(made)
            made.rename(path)
    return path
