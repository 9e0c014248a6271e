"""Level e: 1 to 100,000 texts by minilm-jax alone: does the rate hold, and does memory stay flat?"""

from collections.abc import Iterator

from benchmarks.harness.ceiling import matmul_rate, minimum_operations, token_counts
from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.measuring import Plan, rate_results, started
from benchmarks.harness.results import OURS, Result
from benchmarks.harness.tasks import encode, memory_megabytes, seconds
from benchmarks.texts import recombined_texts
from minilm_jax.config import Precision

_COUNTS = (1, 10, 100, 1_000, 10_000, 100_000)

# Lists of up to this many texts are measured in every round, longer ones once. The first texts, up to
# the same number, are embedded before the measurement to compile all shapes.
_WARM_UP = 1_000

# The caller keeps the vector of each text, which has this many bytes.
_VECTOR_BYTES = 384 * 4


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of growing numbers of texts, one after the other in one process."""
    precision = plan.precisions[0]
    with started(plan, "e", precision) as (worker, *_):
        for count in dict.fromkeys(map(plan.scaled, _COUNTS)):
            yield from _at(count, worker, plan, precision)


def _at(count: int, worker: ModelWorker, plan: Plan, precision: Precision) -> Iterator[Result]:
    texts, workload = recombined_texts(count), f"{count:,} text{'s' * (count > 1)}"
    worker.do(encode, texts[:_WARM_UP])
    rounds = plan.rounds if count <= _WARM_UP else 1
    times = {OURS: [worker.do(seconds, encode, texts) for _ in range(rounds)]}
    rate = worker(matmul_rate, plan.folder, precision)
    ideal = minimum_operations(plan.folder, token_counts(plan.folder, texts)) / rate
    resident, peak = worker(memory_megabytes)
    yield from rate_results(workload, precision, times, count, "texts/s", ideal)
    yield Result(workload, precision, OURS, "MB resident", [resident])
    yield Result(workload, precision, OURS, "MB peak", [peak])
    yield Result(workload, precision, OURS, "MB of vectors", [count * _VECTOR_BYTES / 1e6])
