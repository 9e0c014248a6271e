"""Level d: whole processes that start, import, load, tokenize, embed and exit; seconds and peak memory."""

import functools
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks.harness.contender import Contender
from benchmarks.harness.measuring import Plan, in_turns
from benchmarks.harness.process_cost import ProcessCost, process_cost
from benchmarks.harness.results import OURS, Result
from benchmarks.harness.worker import Worker
from benchmarks.texts import texts_of_kind
from minilm_jax.config import Precision

# Number of texts of each kind.
_JOBS = ({"short": 1}, {"short": 100}, {"short": 3_000}, {"short": 1_500, "long": 150}, {"long": 250})

# Only minilm-jax is faster in its second run, which loads the programs that the first one stored.
_RUNS = ("first run", "second run")

# These float32 contenders are compared with int8 too.
_COMPARED_WITH_INT8 = (OURS, "sentence-transformers")

# A contender in one precision; the costs of its runs.
_Entry: TypeAlias = tuple[Contender, Precision]
_Runs: TypeAlias = Sequence[ProcessCost]


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of every contender for every job; float32 and int8 are measured in the same turns."""
    precisions: list[Precision] = [precision for precision in plan.precisions if precision != "bfloat16"]
    # The processes are started by a small one, because their peak memory includes the memory of their parent.
    with Worker() as worker, tempfile.TemporaryDirectory() as folder:
        tasks = _tasks(plan, precisions, worker, file := Path(folder, "texts.json"))
        for index, job in enumerate(_JOBS):
            name = _write_texts({kind: plan.scaled(count) for kind, count in job.items()}, file)
            if not index:  # This round prepares the files of peers and fills the cache of the operating system.
                in_turns(tasks, 1)
            found = in_turns(tasks, plan.rounds)
            for precision in precisions:
                yield from _results(name, precision, found)


def _write_texts(counts: Mapping[str, int], path: Path) -> str:
    """Write texts as JSON, in random order, and return the name of the job."""
    texts = [text for kind, count in counts.items() for text in texts_of_kind(kind, count)]
    path.write_text(json.dumps(random.Random(0).sample(texts, len(texts))), "utf-8")
    kinds = " and ".join(f"{count:,} {kind}" for kind, count in counts.items())
    return f"{kinds} text{'s' * (len(texts) > 1)}"


def _tasks(
    plan: Plan, precisions: Sequence[Precision], worker: Worker, texts: Path
) -> dict[_Entry, Callable[[], _Runs]]:
    return {
        (each, precision): functools.partial(_runs, worker, each, each.command(plan.folder, precision, texts))
        for precision in precisions
        for each in plan.contenders
        if "d" in each.levels and precision in each.precisions
    }


def _runs(worker: Worker, contender: Contender, command: Sequence[str]) -> _Runs:
    with tempfile.TemporaryDirectory() as programs:
        environment = {"MINILM_JAX_CACHE": programs, "MINILM_JAX_PROGRAMS": programs}
        return [worker(process_cost, command, environment) for _ in (_RUNS if contender.name == OURS else _RUNS[:1])]


def _results(job: str, precision: Precision, found: Mapping[_Entry, Sequence[_Runs]]) -> Iterator[Result]:
    rounds = {each.name: runs for (each, own), runs in found.items() if own == precision}
    if precision == "int8":
        rounds |= {
            f"{each.name}, {own}": runs
            for (each, own), runs in found.items()
            if own != precision and each.name in _COMPARED_WITH_INT8
        }
    for index, run in enumerate(_RUNS):
        for name, runs in rounds.items():
            seconds = [each[min(index, len(each) - 1)].seconds for each in runs]
            yield Result(f"{job}, {run}", precision, name, "s", seconds)
    for name, runs in rounds.items():
        peaks = [max(cost.megabytes for cost in each) for each in runs]
        yield Result(f"{job}, peak memory", precision, name, "MB", peaks)
