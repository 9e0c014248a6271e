"""Embedding one sentence, as a whole process: start, import, load, compute, end."""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.comparison import Comparison, interleave
from benchmarks.peers import ours, sbert

_SENTENCE = "A man is playing a guitar on stage in front of a large audience."
_IMPORTS = [sys.executable, "-c", "import jax, flax"]


def compare(folder: Path, rounds: int) -> Iterator[Comparison]:
    """Measures our command with an empty and a filled compilation cache, beside sentence-transformers and bare imports.

    Args:
        folder: The model.
        rounds: How often each is run, after one run that fills the caches of the operating system.

    Yields:
        The lines of the report.
    """
    command = ours.one_sentence(_SENTENCE)
    with tempfile.TemporaryDirectory() as warm:
        measure = {
            "cold": functools.partial(_cold_seconds, command, folder),
            "second": functools.partial(_seconds, command, _cache(folder, Path(warm))),
            "imports": functools.partial(_seconds, _IMPORTS),
            "sbert": functools.partial(_seconds, sbert.one_sentence(_SENTENCE, folder)),
        }
        for once in measure.values():
            once()
        times = interleave(measure, rounds)
    first, second = "one sentence, whole process, first run", "one sentence, whole process, second run"
    yield Comparison(first, "s", "sentence-transformers", times["cold"], times["sbert"])
    yield Comparison(second, "s", "sentence-transformers", times["second"], times["sbert"])
    yield Comparison(second, "s", '`python -c "import jax, flax"`', times["second"], times["imports"], "≤ 1.5")


def _cache(model: Path, cache: Path) -> Mapping[str, str]:
    """Makes a cache that holds the model and no compiled program, and returns the environment that names it."""
    (cache / model.name).symlink_to(model, target_is_directory=True)
    return {"MINILM_JAX_CACHE": str(cache)}


def _cold_seconds(command: Sequence[str], folder: Path) -> float:
    with tempfile.TemporaryDirectory() as cache:
        return _seconds(command, _cache(folder, Path(cache)))


def _seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=os.environ | (environment or {}), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
