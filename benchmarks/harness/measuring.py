"""The measurement loop: contenders are started, compared with minilm-jax, and measured in turns."""

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.contender import Contender, ModelWorker
from benchmarks.harness.results import Result
from benchmarks.harness.worker import WorkerError
from minilm_jax.config import Precision

_P = ParamSpec("_P")
_R = TypeVar("_R")
_K = TypeVar("_K")

# A larger difference between float32 vectors is not explained by rounding.
_FLOAT32_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of a run.

    Attributes:
        folder: Folder of the model.
        contenders: All libraries to measure, minilm-jax first.
        precisions: The precisions to measure.
        rounds: How often each contender is measured.
        fraction: Fraction of the texts and calls of a full run.
        min_cosine: Contenders are left out if the mean cosine of their rounded vectors with ours is lower.
        notes: Filled during the run: how well contenders agree, and why some are left out.
    """

    folder: Path
    contenders: Sequence[Contender]
    precisions: Sequence[Precision]
    rounds: int
    fraction: float = 1.0
    min_cosine: float = 0.9
    notes: list[str] = dataclasses.field(default_factory=list)

    def scaled(self, count: int) -> int:
        """Return the count of texts or calls, given that of a full run; at least one."""
        return max(1, round(count * self.fraction))


@contextlib.contextmanager
def started(plan: Plan, level: str, precision: Precision) -> Iterator[list[ModelWorker]]:
    """Start the contenders of a level, minilm-jax first; their processes end with the block."""
    chosen = [each for each in plan.contenders if level in each.levels and precision in each.precisions]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(each.start(plan.folder, precision)) for each in chosen]


def agreeing(
    workers: Sequence[ModelWorker],
    plan: Plan,
    precision: Precision,
    task: Callable[Concatenate[Any, _P], NDArray[np.floating]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> list[ModelWorker]:
    """Run a task once with every contender and keep those whose vectors agree with the first one's.

    Args:
        workers: The contenders, minilm-jax first.
        plan: The settings; a note about each other contender is appended to its notes.
        precision: The precision that the contenders compute in.
        task: Returns vectors.
        args: Further positional arguments of the task.
        kwargs: Keyword arguments of the task.

    Returns:
        The contenders that neither fail nor compute something else.
    """
    ours, *others = workers
    expected, kept = ours.do(task, *args, **kwargs), [ours]
    for other in others:
        try:
            note = agreement(expected, other.do(task, *args, **kwargs), precision, plan.min_cosine)
        except (WorkerError, ValueError) as error:
            note = f"left out: {error}"
        else:
            kept.append(other)
        plan.notes.append(f"{other.name}, {precision}: {note}")
        print(f"  {plan.notes[-1]}", flush=True)
    return kept


def agreement(ours: NDArray[np.floating], theirs: NDArray[np.floating], precision: Precision, min_cosine: float) -> str:
    """Describe how well vectors agree with ours, [n, D] each; raise ValueError if they do not."""
    if not len(theirs):
        return "computes no vectors"
    if precision == "float32":
        difference = float(np.abs(ours - theirs).max())
        if difference > _FLOAT32_TOLERANCE:
            raise ValueError(f"its vectors differ by {difference:.1e} from those of minilm-jax")
        return f"largest difference from minilm-jax {difference:.1e}"
    # Vectors that are rounded to 16 bits after normalization no longer have exactly unit length.
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(((ours * theirs).sum(axis=1) / lengths).mean())
    if cosine < min_cosine:
        raise ValueError(f"its vectors have a mean cosine of {cosine:.3f} with those of minilm-jax")
    return f"mean cosine with minilm-jax {cosine:.4f}"


def calls(
    workers: Sequence[ModelWorker], task: Callable[Concatenate[Any, _P], _R], *args: _P.args, **kwargs: _P.kwargs
) -> dict[str, Callable[[], _R]]:
    """Return functions that run a task with each contender, by name."""
    return {each.name: lambda each=each: each.do(task, *args, **kwargs) for each in workers}


def in_turns(tasks: Mapping[_K, Callable[[], _R]], rounds: int) -> dict[_K, list[_R]]:
    """Run tasks A B C A B C …, so that slow phases of the machine affect all; return each one's results by round."""
    found: dict[_K, list[_R]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            found[name].append(task())
    return found


def rate_results(
    workload: str,
    precision: Precision,
    seconds: Mapping[str, Sequence[float]],
    count: int,
    unit: str,
    ideal_seconds: float,
) -> Iterator[Result]:
    """Yield the rate of every contender.

    Args:
        workload: Name of the work.
        precision: The precision that it was computed in.
        seconds: Seconds of each round, by contender.
        count: Texts or tokens in a round.
        unit: Unit of the rate, such as "texts/s".
        ideal_seconds: Seconds that the matrix multiplications alone would take at the ceiling's rate.

    Yields:
        One result per contender.
    """
    for name, rounds in seconds.items():
        rates = [count / each for each in rounds]
        yield Result(workload, precision, name, unit, rates, ideal_seconds / statistics.median(rounds))
