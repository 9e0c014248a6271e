"""A library to measure, in a process of its own, so that no peer's threads or memory disturb another's."""

import functools
import importlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Encode


class Contender:
    """One way to embed texts, loaded once in a process that lives until the contender is closed."""

    def __init__(self, name: str, module: str, folder: Path, **options: Any) -> None:
        """Starts the process.

        Args:
            name: What the report calls it.
            module: The file in `benchmarks.peers` that loads it.
            folder: The model.
            options: Further arguments of that file's `load`.
        """
        self.name = name
        self._load = functools.partial(_encoder, module, folder, **options)
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the process."""
        self._process.shutdown()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeds texts, which also warms the contender up for them."""
        return self._process.submit(_encode, self._load, texts).result()

    def seconds(self, texts: Sequence[str]) -> float:
        """Returns how long it takes to embed texts, measured inside the process."""
        return self._process.submit(_seconds, self._load, texts).result()


@functools.cache
def _encoder(module: str, folder: Path, **options: Any) -> Encode:
    return importlib.import_module(f"benchmarks.peers.{module}").load(folder, **options)


def _encode(load: Callable[[], Encode], texts: Sequence[str]) -> NDArray[np.float32]:
    return load()(texts)


def _seconds(load: Callable[[], Encode], texts: Sequence[str]) -> float:
    encode = load()
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start
