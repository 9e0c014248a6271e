"""Contenders: the description of a library and its settings, and the process that holds its loaded model."""

import dataclasses
import functools
import importlib
import json
import sys
from collections.abc import Callable, Collection, Hashable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from benchmarks.harness.worker import Worker
from minilm_jax.config import Precision

_P = ParamSpec("_P")
_R = TypeVar("_R")

Options = tuple[tuple[str, str | bool], ...]


class ModelWorker(Worker):
    """A process that holds one model, which is loaded by the first task.

    Attributes:
        name: The contender's name in reports.
    """

    def __init__(self, name: str, load: Callable[..., Any], *args: Hashable) -> None:
        """Start the process.

        Args:
            name: The contender's name in reports.
            load: Module-level function that returns the model.
            args: Arguments of `load`.
        """
        super().__init__()
        self.name, self._load = name, (load, *args)

    def do(self, task: Callable[Concatenate[Any, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call `task(model, *args, **kwargs)` in the process.

        Args:
            task: A module-level function that takes the model first.
            args: Its further positional arguments.
            kwargs: Its keyword arguments.

        Returns:
            The result of the task.

        Raises:
            WorkerError: The task or the loading failed, or the process has ended.
        """
        return self(_do, self._load, task, *args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A library with its settings.

    Attributes:
        name: Its name in reports.
        module: The module in `benchmarks.peers` that loads it.
        levels: Keys of the levels in which it is measured.
        precisions: The precisions that it supports.
        options: Further keyword arguments of the module's `load`, as pairs of name and value.
    """

    name: str
    module: str
    levels: Collection[str]
    precisions: Collection[Precision]
    options: Options = ()

    def start(self, folder: Path, precision: Precision) -> ModelWorker:
        """Start a process for the model in a folder."""
        return ModelWorker(self.name, _load_peer, self.module, folder, precision, self.options)

    def command(self, folder: Path, precision: Precision, texts: Path) -> list[str]:
        """Return the command of a process that loads the model in a folder and embeds the texts of a JSON file."""
        options = json.dumps(dict(self.options))
        return [sys.executable, "-m", "benchmarks.cpu.job", self.module, str(folder), precision, options, str(texts)]


def _do(load: tuple[Any, ...], task: Callable[..., _R], /, *args: Any, **kwargs: Any) -> _R:
    return task(_loaded(*load), *args, **kwargs)


@functools.cache
def _loaded(load: Callable[..., Any], *args: Hashable) -> Any:
    return load(*args)


def _load_peer(module: str, folder: Path, precision: Precision, options: Options) -> Any:
    return importlib.import_module(f"benchmarks.peers.{module}").load(folder, precision, **dict(options))
