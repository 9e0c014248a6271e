"""Level d: one sentence embedded by a whole process, from its start to its exit, in float32."""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.cpu.one_sentence import SENTENCE
from benchmarks.harness.measuring import Plan, in_turns
from benchmarks.harness.results import OURS, Result
from benchmarks.peers import fast_embed

_IMPORTS = "`import jax, flax`"
_FIRST, _SECOND = "first run", "second run"

_COMMAND = [sys.executable, "-m", "minilm_jax", "embed", SENTENCE]
_SCRIPTS = {
    "sentence-transformers": """
from sentence_transformers import SentenceTransformer
SentenceTransformer({folder!r}, device="cpu", local_files_only=True).encode({sentence!r})
""",
    "fastembed": """
from fastembed import TextEmbedding
list(TextEmbedding("sentence-transformers/all-MiniLM-L6-v2", specific_model_path={folder!r}).embed({sentence!r}))
""",
}


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of our command with an empty and a filled compilation cache, of peers, and of bare imports."""
    with tempfile.TemporaryDirectory() as cache:
        ours = {
            _FIRST: functools.partial(_cold_seconds, plan.folder),
            _SECOND: functools.partial(_seconds, _COMMAND, _cache(plan.folder, Path(cache))),
        }
        others = {name: functools.partial(_seconds, _python(code)) for name, code in _scripts(plan).items()}
        found = in_turns(ours | others, plan.rounds + 1)
    # The first round fills the caches of the operating system.
    times = {name: rounds[1:] for name, rounds in found.items()}
    for run in ours:
        yield Result(run, "float32", OURS, "s", times[run])
        for name in others:
            yield Result(run, "float32", name, "s", times[name])


def _scripts(plan: Plan) -> dict[str, str]:
    scripts = {_IMPORTS: "import jax, flax"}
    for peer in (each.name for each in plan.contenders if "d" in each.levels and each.name in _SCRIPTS):
        folder = fast_embed.model_folder(plan.folder, "float32") if peer == "fastembed" else plan.folder
        scripts[peer] = _SCRIPTS[peer].format(folder=str(folder), sentence=SENTENCE)
    return scripts


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _cache(model: Path, cache: Path) -> Mapping[str, str]:
    """Create a cache with the model and without compiled programs; return the environment variable for it."""
    (cache / model.name).symlink_to(model, target_is_directory=True)
    return {"MINILM_JAX_CACHE": str(cache)}


def _cold_seconds(model: Path) -> float:
    with tempfile.TemporaryDirectory() as cache:
        return _seconds(_COMMAND, _cache(model, Path(cache)))


def _seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=os.environ | (environment or {}), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
