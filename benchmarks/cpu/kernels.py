"""Level a: random token ids in batches of fixed shapes, in tokens/s, and one short text in milliseconds."""

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.harness.ceiling import in_turns_with_ceiling, minimum_operations
from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.measuring import Plan, agreeing, rate_results, started
from benchmarks.harness.results import Result
from benchmarks.harness.tasks import COMPARED, embed, embed_one, embed_seconds, prepare
from benchmarks.peers import THREADS, Ids
from minilm_jax.config import Precision

_SHAPES = ((32, 16), (32, 32), (16, 128), (8, 256), (1, 16))
_COMPARED = (COMPARED, 16)

# With this many batches, all workers are busy and the wait for the last batch is short.
_BATCHES = 4 * THREADS
_CALLS = 50


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of every contender for every shape and precision."""
    for precision in plan.precisions:
        with started(plan, "a", precision) as workers:
            for each in workers:
                each.do(prepare)
            kept = agreeing(workers, plan, precision, embed_one, _random_ids(_COMPARED))
            for shape in _SHAPES:
                yield from _at(shape, kept, plan, precision)


def _at(shape: tuple[int, int], workers: Sequence[ModelWorker], plan: Plan, precision: Precision) -> Iterator[Result]:
    single, workload = shape[0] == 1, f"{shape[0]} × {shape[1]}"
    batches = [_random_ids(shape)] * (1 if single else max(THREADS, plan.scaled(_BATCHES)))
    for each in workers:
        each.do(embed, batches)  # The first call compiles for the shape.
    calls = plan.scaled(_CALLS) if single else 1
    seconds, rate = in_turns_with_ceiling(workers, plan, precision, embed_seconds, batches, calls)
    texts = len(batches) * shape[0]
    ideal = minimum_operations(plan.folder, [shape[1]] * texts) / rate
    if not single:
        yield from rate_results(workload, precision, seconds, texts * shape[1], "tokens/s", ideal)
        return
    for name, rounds in seconds.items():
        yield Result(
            workload, precision, name, "ms", [1e3 * each for each in rounds], ideal / statistics.median(rounds)
        )


def _random_ids(shape: tuple[int, int]) -> Ids:
    """Return token ids of words and word pieces, int32[B, T]."""
    return np.random.default_rng(0).integers(1_000, 30_000, shape).astype(np.int32)
