"""Who takes part, each with its model in a process of its own; all share the GPU, and only one computes at a time."""

import dataclasses
import functools
import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import OURS
from benchmarks.worker import Worker

# What is computed in; float32 would be another result.
HALVES = ("bfloat16", "float16")

# Of what was placed, so many vectors come back to be compared.
_PROBES = 64


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a contender is made of.

    Attributes:
        name: What the report calls it.
        module: The file in this folder that loads it.
        form: Which of that file's forms.
        levels: Where it takes part.
    """

    name: str
    module: str
    form: str
    levels: Sequence[str]


# Ours, the first, lays texts out as `SentenceEncoder` does on a GPU, which also takes whichever attention is faster.
# What else is to be compared is one more line.
ENTRIES = (
    Entry(OURS, "ours", "packed rows", ("products", "device", "encode")),
    Entry(f"{OURS}, cuDNN attention", "ours", "packed rows, cuDNN attention", ("device",)),
    Entry(f"{OURS}, padded rows", "ours", "padded rows", ("device",)),
    Entry(f"{OURS}, padded rows, cuDNN attention", "ours", "padded rows, cuDNN attention", ("device",)),
    Entry("sentence-transformers", "sbert", "SDPA", ("products", "device", "encode")),
    Entry("sentence-transformers, torch.compile", "sbert", "torch.compile", ("device", "encode")),
    Entry("tokenizing alone", "tokenizing", "all cores", ("encode",)),
)


class Contender(Worker):
    """An entry that runs."""

    def __init__(self, entry: Entry, folder: Path, precision: str) -> None:
        """Starts the process, which loads the model when it first has something to do.

        Args:
            entry: What it is.
            folder: The model.
            precision: What to compute in.
        """
        super().__init__()
        self.name = entry.name
        self._load = functools.partial(_load, entry.module, folder, precision, entry.form)

    def do(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the model; raises WorkerError where that does, or where the process has ended."""
        return self(_do, self._load, method, *arguments)

    def seconds(self, method: str, *arguments: Any) -> float:
        """Returns how long a method of the model takes."""
        return self(_seconds, self._load, method, *arguments)

    def probe(self, method: str, *arguments: Any) -> Any:
        """Returns the first vectors that a method of the model returns."""
        return self(_probe, self._load, method, *arguments)


def _do(load: Callable[[], Any], method: str, *arguments: Any) -> Any:
    return getattr(load(), method)(*arguments)


def _seconds(load: Callable[[], Any], method: str, *arguments: Any) -> float:
    start = time.perf_counter()
    _do(load, method, *arguments)
    return time.perf_counter() - start


def _probe(load: Callable[[], Any], method: str, *arguments: Any) -> Any:
    return _do(load, method, *arguments)[:_PROBES]


@functools.cache
def _load(module: str, folder: Path, precision: str, form: str) -> Any:
    return importlib.import_module(f"benchmarks.gpu.{module}").load(folder, precision, form)
