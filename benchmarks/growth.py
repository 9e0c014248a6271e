"""Level e: one text to a hundred thousand, by minilm-jax alone: is it as fast with many, and does memory stay flat."""

import statistics
from collections.abc import Iterator

from benchmarks import ceiling
from benchmarks.contender import Contender, encode, encode_seconds
from benchmarks.lineup import Plan, lineup
from benchmarks.memory import megabytes
from benchmarks.peers import Precision
from benchmarks.results import OURS, Result
from benchmarks.texts import recombined_texts

_COUNTS = (1, 10, 100, 1_000, 10_000, 100_000)

# Up to so many texts a count is measured in every round, and the first so many of more compile all shapes.
_WARM_UP = 1_000

# Bytes of a text's vector, which its user keeps.
_VECTOR = 384 * 4


def measure(plan: Plan) -> Iterator[Result]:
    """Measures growing numbers of texts, one after the other in one process.

    Args:
        plan: What the run was asked for.

    Yields:
        The lines of the report.
    """
    precision = plan.precisions[0]
    with lineup("e", plan, precision) as contenders:
        for count in dict.fromkeys(map(plan.share, _COUNTS)):
            yield from _at(count, contenders[0], plan, precision)


def _at(count: int, us: Contender, plan: Plan, precision: Precision) -> Iterator[Result]:
    texts = recombined_texts(count)
    us.do(encode, texts[:_WARM_UP])
    rounds = plan.rounds if count <= _WARM_UP else 1
    seconds = [us.do(encode_seconds, texts) for _ in range(rounds)]
    least = us(ceiling.operations_of, plan.folder, texts) / us(ceiling.rate, plan.folder, precision)
    what, (resident, peak) = f"{count:,} text{'s' * (count > 1)}", us(megabytes)
    yield Result(
        what, precision, OURS, "texts/s", [count / each for each in seconds], least / statistics.median(seconds)
    )
    yield Result(what, precision, OURS, "MB held afterwards", [resident])
    yield Result(what, precision, OURS, "MB at most", [peak])
    yield Result(what, precision, OURS, "MB of vectors", [count * _VECTOR / 1e6])
