"""One file per library, set up as its own documentation recommends for speed.

Each has `load(folder, precision, **options)`, which returns a model: a `TextModel`, and where it accepts token ids a
`TokenModel` too. Those that also run on a GPU return a `DeviceModel`.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Whole processes are measured with these imports, so the modules of peers import only what their library needs.
if TYPE_CHECKING:
    from minilm_jax.tokens.batching import RaggedIds

# Engines that can compute several batches concurrently take this performance hint.
Hint: TypeAlias = Literal["latency", "throughput"]

# Token ids are int32[B, T], and vectors are float32[B, D].
Ids: TypeAlias = NDArray[np.int32]
Vectors: TypeAlias = NDArray[np.float32]

_PREPARED = Path(__file__).parents[2] / "build" / "benchmarks"

# Every contender uses all cores.
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class TextModel(Protocol):
    """A loaded model that embeds texts."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, truncated at 256 tokens; float32[n, D]."""
        ...


class TokenModel(TextModel, Protocol):
    """A loaded model that embeds token ids too."""

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        """Return the vectors of batches without padding; several batches may be computed concurrently."""
        ...


class DeviceModel(TextModel, Protocol):
    """A loaded model that can keep its inputs and outputs on a device."""

    def place(self, tokens: "RaggedIds", budget: int) -> Vectors:
        """Put batches of up to `budget` tokens on the device, compile, and return the vectors, float32[n, D]."""
        ...

    def run(self) -> None:
        """Compute the vectors of all placed batches and wait for them."""
        ...

    def multiply(self, rows: int, inner: int, columns: int, calls: int) -> float:
        """Return the mean seconds of a product of bfloat16[rows, inner] and bfloat16[inner, columns]."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Return the device and the precision of float32 products, by name, as the library reports them."""
        ...


def prepared(name: str, make: Callable[[Path], None]) -> Path:
    """Return a file or folder that a peer needs, created at the first call.

    Args:
        name: Its name, which includes the version of the tool that makes it.
        make: Writes it to the given path. It runs in a separate process and so does not use memory of the contender.

    Returns:
        The path; it exists only if all of it was written.
    """
    path = _PREPARED / name
    if not path.exists():
        from benchmarks.harness.worker import run_in_process

        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as unfinished:
            made = Path(unfinished) / name
            run_in_process(make, made)
            made.rename(path)
    return path
