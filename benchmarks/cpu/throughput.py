"""Level b: `encode` on lists of short, mixed and long texts, in texts/s, and its memory."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.harness.ceiling import in_turns_with_ceiling, minimum_operations, token_counts
from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.measuring import Plan, agreeing, rate_results, started
from benchmarks.harness.results import Result
from benchmarks.harness.tasks import COMPARED, encode, memory_megabytes, seconds, warm_up
from benchmarks.texts import mixed_texts, texts_of_kind
from minilm_jax.config import Precision

# Minimum passes over the first kind of texts before the measurement: with this many tokens, minilm-jax has replaced its
# programs by faster ones.
_FEWEST_PASSES = 7

# Number of texts of each kind in a full run.
_COUNTS: Mapping[str, int] = {"short": 3_000, "mixed": 600, "long": 250}


def measure(plan: Plan) -> Iterator[Result]:
    """Yield the results of every contender for every kind of texts, and then its memory."""
    for precision in plan.precisions:
        with started(plan, "b", precision) as workers:
            kept = agreeing(workers, plan, precision, encode, mixed_texts(COMPARED))
            for index, (kind, count) in enumerate(_COUNTS.items()):
                texts = texts_of_kind(kind, plan.scaled(count))
                for each in kept:
                    each.do(warm_up, texts, 1 if index else _FEWEST_PASSES)
                yield from _of_kind(kind, texts, kept, plan, precision)
            yield from _memory(kept, precision)


def _of_kind(
    kind: str, texts: Sequence[str], workers: Sequence[ModelWorker], plan: Plan, precision: Precision
) -> Iterator[Result]:
    times, rate = in_turns_with_ceiling(workers, plan, precision, seconds, encode, texts)
    ideal = minimum_operations(plan.folder, token_counts(plan.folder, texts)) / rate
    yield from rate_results(f"{len(texts):,} {kind} texts", precision, times, len(texts), "texts/s", ideal)


def _memory(workers: Sequence[ModelWorker], precision: Precision) -> Iterator[Result]:
    for each in workers:
        resident, peak = each(memory_megabytes)
        yield Result("memory after the run", precision, each.name, "MB", [resident])
        yield Result("peak memory", precision, each.name, "MB", [peak])
