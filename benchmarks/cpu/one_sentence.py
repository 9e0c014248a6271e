"""Level c: one sentence per call in a warm process; the median and the 99th percentile of the time."""

from collections.abc import Iterator

import numpy as np

from benchmarks.harness.ceiling import in_turns_with_ceiling, minimum_operations, token_counts
from benchmarks.harness.measuring import Plan, agreeing, started
from benchmarks.harness.results import Result
from benchmarks.harness.tasks import COMPARED, encode, latency, prepare
from benchmarks.texts import mixed_texts
from minilm_jax.config import Precision

SENTENCE = "A man is playing a guitar on stage in front of a large audience."
_CALLS, _FEWEST_CALLS = 300, 10


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of every contender in every precision."""
    for precision in plan.precisions:
        yield from _in(precision, plan)


def _in(precision: Precision, plan: Plan) -> Iterator[Result]:
    calls = max(plan.scaled(_CALLS), _FEWEST_CALLS)
    with started(plan, "c", precision) as workers:
        for each in workers:
            each.do(prepare)
        kept = agreeing(workers, plan, precision, encode, mixed_texts(COMPARED))
        found, rate = in_turns_with_ceiling(kept, plan, precision, latency, SENTENCE, calls)
    ideal = 1e3 * minimum_operations(plan.folder, token_counts(plan.folder, [SENTENCE])) / rate
    for name, rounds in found.items():
        medians = [median for median, _ in rounds]
        yield Result("median", precision, name, "ms", medians, ideal / float(np.median(medians)))
    for name, rounds in found.items():
        yield Result("99th percentile", precision, name, "ms", [percentile for _, percentile in rounds])
