"""Level a: random token ids in batches of fixed shapes, as tokens a second, and one short text in milliseconds."""

import statistics
from collections.abc import Iterator, Sequence

from benchmarks import ceiling
from benchmarks.contender import Contender, embed, embed_seconds
from benchmarks.lineup import Plan, lineup, random_ids
from benchmarks.peers import THREADS, Precision
from benchmarks.results import Result

_SHAPES = ((32, 16), (32, 32), (16, 128), (8, 256), (1, 16))

# Of a shape with several texts, enough that streams can run and none waits long for the last; of one text, calls.
_BATCHES = 4 * THREADS
_CALLS = 50


def measure(plan: Plan) -> Iterator[Result]:
    """Measures every contender at every shape.

    Args:
        plan: What the run was asked for.

    Yields:
        The lines of the report.
    """
    for precision in plan.precisions:
        with lineup("a", plan, precision) as contenders:
            for shape in _SHAPES:
                yield from _at(shape, contenders, plan, precision)


def _at(shape: tuple[int, int], contenders: Sequence[Contender], plan: Plan, precision: Precision) -> Iterator[Result]:
    alone = shape[0] == 1
    batches = [random_ids(shape)] * (1 if alone else max(THREADS, plan.share(_BATCHES)))
    for each in contenders:
        each.do(embed, batches)
    calls = plan.share(_CALLS) if alone else 1
    seconds, rate = ceiling.beside(contenders, plan, precision, embed_seconds, batches, calls)
    least = len(batches) * contenders[0](ceiling.operations, plan.folder, *shape) / rate
    tokens = len(batches) * shape[0] * shape[1]
    for name, found in seconds.items():
        values = [each * 1e3 for each in found] if alone else [tokens / each for each in found]
        unit = "ms" if alone else "tokens/s"
        yield Result(f"{shape[0]} × {shape[1]}", precision, name, unit, values, least / statistics.median(found))
