"""Level b: `encode` on lists of short, mixed and long texts, in texts/s, and its memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.harness.ceiling import in_turns_with_ceiling, minimum_operations, token_counts
from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.measuring import Plan, agreeing, rate_results, started
from benchmarks.harness.results import Result
from benchmarks.harness.tasks import COMPARED, encode, memory_megabytes, seconds
from benchmarks.texts import long_texts, mixed_texts, short_texts
from minilm_jax.config import Precision

# Each kind of text has a function that makes texts, and their count in a full run.
_KINDS: Mapping[str, tuple[Callable[[int], list[str]], int]] = {
    "short": (short_texts, 4_000),
    "mixed": (mixed_texts, 2_000),
    "long": (long_texts, 1_000),
}


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of every contender for every kind of texts, and then its memory."""
    for precision in plan.precisions:
        with started(plan, "b", precision) as workers:
            kept = agreeing(workers, plan, precision, encode, mixed_texts(COMPARED))
            for kind, (make, count) in _KINDS.items():
                yield from _of_kind(kind, make(plan.scaled(count)), kept, plan, precision)
            yield from _memory(kept, precision)


def _of_kind(
    kind: str, texts: Sequence[str], workers: Sequence[ModelWorker], plan: Plan, precision: Precision
) -> Iterator[Result]:
    for each in workers:
        each.do(encode, texts)  # The first call compiles for the shapes.
    times, rate = in_turns_with_ceiling(workers, plan, precision, seconds, encode, texts)
    ideal = minimum_operations(plan.folder, token_counts(plan.folder, texts)) / rate
    yield from rate_results(f"{len(texts):,} {kind} texts", precision, times, len(texts), "texts/s", ideal)


def _memory(workers: Sequence[ModelWorker], precision: Precision) -> Iterator[Result]:
    for each in workers:
        resident, peak = each(memory_megabytes)
        yield Result("memory after the run", precision, each.name, "MB", [resident])
        yield Result("peak memory", precision, each.name, "MB", [peak])
