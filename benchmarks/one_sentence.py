"""Level c: one sentence at a time in a warm process, the usual call and the slowest of a hundred."""

import time
from collections.abc import Iterator

import numpy as np

from benchmarks import ceiling
from benchmarks.lineup import Plan, lineup
from benchmarks.peers import Model, Precision
from benchmarks.results import Result

SENTENCE = "A man is playing a guitar on stage in front of a large audience."
_CALLS = 300
_WARM_UP = 10


def measure(plan: Plan) -> Iterator[Result]:
    """Measures every contender.

    Args:
        plan: What the run was asked for.

    Yields:
        The lines of the report.
    """
    for precision in plan.precisions:
        yield from _in(precision, plan)


def _in(precision: Precision, plan: Plan) -> Iterator[Result]:
    calls = max(plan.share(_CALLS), _WARM_UP)
    with lineup("c", plan, precision) as contenders:
        found, rate = ceiling.beside(contenders, plan, precision, _milliseconds, calls)
        least = 1e3 * contenders[0](ceiling.operations_of, plan.folder, [SENTENCE]) / rate
    for what, rank in (("median", 0), ("99th percentile", 1)):
        for name, rounds in found.items():
            values = [each[rank] for each in rounds]
            yield Result(what, precision, name, "ms", values, None if rank else least / float(np.median(values)))


def _milliseconds(model: Model, calls: int) -> tuple[float, float]:
    times = [_once(model) for _ in range(_WARM_UP + calls)][_WARM_UP:]
    return float(np.median(times)), float(np.percentile(times, 99))


def _once(model: Model) -> float:
    start = time.perf_counter()
    model.encode([SENTENCE])
    return (time.perf_counter() - start) * 1e3
