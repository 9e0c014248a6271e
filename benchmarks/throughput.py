"""Level b: texts a second of `encode` on lists of short, mixed and long texts, and the memory that it takes."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks import ceiling
from benchmarks.contender import Contender, encode, encode_seconds
from benchmarks.lineup import Plan, lineup
from benchmarks.memory import megabytes
from benchmarks.peers import Precision
from benchmarks.results import Result
from benchmarks.texts import long_texts, mixed_texts, short_texts

# How they are made, and how many a full run takes.
_KINDS: Mapping[str, tuple[Callable[[int], list[str]], int]] = {
    "short": (short_texts, 4_000),
    "mixed": (mixed_texts, 2_000),
    "long": (long_texts, 1_000),
}


def measure(plan: Plan) -> Iterator[Result]:
    """Measures every contender on every kind of texts, and then its memory.

    Args:
        plan: What the run was asked for.

    Yields:
        The lines of the report.
    """
    for precision in plan.precisions:
        with lineup("b", plan, precision) as contenders:
            for kind, (make, count) in _KINDS.items():
                yield from _on(kind, make(plan.share(count)), contenders, plan, precision)
            yield from _memory(contenders, precision)


def _on(
    kind: str, texts: Sequence[str], contenders: Sequence[Contender], plan: Plan, precision: Precision
) -> Iterator[Result]:
    for each in contenders:
        each.do(encode, texts)
    seconds, rate = ceiling.beside(contenders, plan, precision, encode_seconds, texts)
    least = contenders[0](ceiling.operations_of, plan.folder, texts) / rate
    for name, found in seconds.items():
        rates = [len(texts) / each for each in found]
        yield Result(
            f"{len(texts):,} {kind} texts", precision, name, "texts/s", rates, least / statistics.median(found)
        )


def _memory(contenders: Sequence[Contender], precision: Precision) -> Iterator[Result]:
    for each in contenders:
        resident, peak = each(megabytes)
        yield Result("memory afterwards", precision, each.name, "MB", [resident])
        yield Result("peak memory", precision, each.name, "MB", [peak])
