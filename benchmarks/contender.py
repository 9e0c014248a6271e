"""A library to measure, loaded once in a process that lives until the contender is closed."""

import dataclasses
import functools
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Concatenate, ParamSpec, TypeVar

from benchmarks.peers import Ids, Model, Precision, TextModel, Vectors
from benchmarks.worker import Worker, apart

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a contender is made of.

    Attributes:
        name: What the report calls it.
        module: The file in `benchmarks.peers` that loads it.
        precisions: What it can compute in.
        levels: Where it takes part.
        options: Further arguments of that file's `load`, by name.
    """

    name: str
    module: str
    precisions: Sequence[Precision]
    levels: str
    options: tuple[tuple[str, str | bool], ...] = ()


class Contender(Worker):
    """An entry that runs."""

    def __init__(self, entry: Entry, folder: Path, precision: Precision) -> None:
        """Starts the process.

        Args:
            entry: What it is.
            folder: The model.
            precision: What to compute in.

        Raises:
            WorkerError: The files that it needs could not be made.
        """
        apart(_prepare, entry.module, folder, precision)  # Whose memory is not the contender's.
        super().__init__()
        self.name = entry.name
        self._load = functools.partial(_load, entry.module, folder, precision, entry.options)

    def do(self, task: Callable[Concatenate[Model, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Does something with the model, inside the process.

        Args:
            task: A function of a module, which takes the model first.
            args: Its further arguments.
            kwargs: Its named arguments.

        Returns:
            What it returned.

        Raises:
            WorkerError: It raised something, or the process has ended.
        """
        return self(_do, self._load, task, *args, **kwargs)


def encode(model: TextModel, texts: Sequence[str]) -> Vectors:
    """Embeds texts, which also warms the model up for them."""
    return model.encode(texts)


def encode_seconds(model: TextModel, texts: Sequence[str]) -> float:
    """Returns how long it takes to embed texts."""
    start = time.perf_counter()
    model.encode(texts)
    return time.perf_counter() - start


def embed(model: Model, batches: Sequence[Ids]) -> list[Vectors]:
    """Embeds token ids, which also warms the model up for them."""
    return model.embed(batches)


def embed_seconds(model: Model, batches: Sequence[Ids], calls: int) -> float:
    """Returns how long a call takes to embed token ids, the median of some after one batch that is not measured."""
    model.embed(batches[:1])

    def once() -> float:
        start = time.perf_counter()
        model.embed(batches)
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(calls))


def _do(
    load: Callable[[], Model], task: Callable[Concatenate[Model, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
) -> _R:
    return task(load(), *args, **kwargs)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.peers.{name}")


def _prepare(module: str, folder: Path, precision: Precision) -> None:
    if make := getattr(_module(module), "prepare", None):
        make(folder, precision)


@functools.cache
def _load(module: str, folder: Path, precision: Precision, options: tuple[tuple[str, str | bool], ...]) -> Model:
    return _module(module).load(folder, precision, **dict(options))
