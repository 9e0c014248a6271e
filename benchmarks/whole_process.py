"""Level d: one sentence as a whole process: start, import, load, compute, end; float32."""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.lineup import Plan
from benchmarks.one_sentence import SENTENCE
from benchmarks.peers import fast_embed, ours, sbert
from benchmarks.results import OURS, Result
from benchmarks.worker import apart

_IMPORTS = "`import jax, flax`"
_FIRST, _SECOND = "first run", "second run"


def measure(plan: Plan) -> Iterator[Result]:
    """Measures our command with an empty and a filled compilation cache, beside scripts of the peers and bare imports.

    Args:
        plan: What the run was asked for.

    Yields:
        The lines of the report.
    """
    command = ours.one_sentence(SENTENCE)
    with tempfile.TemporaryDirectory() as warm:
        turns = {
            _FIRST: functools.partial(_cold_seconds, command, plan.folder),
            _SECOND: functools.partial(_seconds, command, _cache(plan.folder, Path(warm))),
        } | {name: functools.partial(_seconds, script) for name, script in _others(plan).items()}
        rounds = [{name: once() for name, once in turns.items()} for _ in range(plan.rounds + 1)]
    # The first round fills the caches of the operating system too.
    times = {name: [each[name] for each in rounds[1:]] for name in turns}
    for run in (_FIRST, _SECOND):
        yield Result(run, "float32", OURS, "s", times[run])
        for name in [name for name in times if name not in (_FIRST, _SECOND)]:
            yield Result(run, "float32", name, "s", times[name])


def _others(plan: Plan) -> dict[str, list[str]]:
    imports = {_IMPORTS: [sys.executable, "-c", "import jax, flax"]}
    if not plan.peers:
        return imports
    apart(fast_embed.prepare, plan.folder, "float32")
    return imports | {
        "sentence-transformers": sbert.one_sentence(SENTENCE, plan.folder),
        "fastembed": fast_embed.one_sentence(SENTENCE, plan.folder),
    }


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
