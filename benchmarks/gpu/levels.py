"""The levels on a GPU: matrix products, `embed` on the device, and `encode` from texts to vectors."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.workload import LENGTHS, Length, length_name, random_tokens, texts_of
from benchmarks.harness.ceiling import minimum_operations, token_counts
from benchmarks.harness.measuring import Plan, agreeing, calls, in_turns, rate_results, started
from benchmarks.harness.results import Result
from benchmarks.harness.tasks import encode, facts, first_vectors, multiply, place, run, seconds
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.config import Precision

# A product is called this many times in a row, so that the time to launch it is negligible.
_CALLS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class DevicePlan(Plan):
    """The settings of a run on a GPU.

    Attributes:
        lengths: Tokens per text of each workload.
        tokens: Tokens per measurement.
        budget: Maximum tokens per call, padding included.
        square: Rows and columns of the large matrices.
        peak: Operations per second of the fastest product, or NaN before it is measured.
    """

    lengths: Sequence[Length] = LENGTHS
    tokens: int = 1 << 20
    budget: int = 1 << 17
    square: int = 8_192
    peak: float = float("nan")


def device_facts(plan: DevicePlan) -> Mapping[str, str]:
    """Return the device, and the precision of float32 products in each library."""
    with started(plan, "products", plan.precisions[0]) as workers:
        return {name: fact for each in workers for name, fact in each.do(facts).items()}


def products(plan: DevicePlan) -> Iterator[Result]:
    """Yield the rates of bfloat16 matrix products: of large matrices, and of the model's own shapes."""
    config = read_config(plan.folder)
    width, wide = config.hidden_size, config.intermediate_size
    layers = ((width, width), (width, 3 * width), (width, wide), (wide, width))
    square = (plan.square, plan.square, plan.square)
    with started(plan, "products", "bfloat16") as workers:
        for shape in (square, *((plan.budget, *layer) for layer in layers)):
            for name, times in in_turns(calls(workers, multiply, shape, _CALLS), plan.rounds).items():
                values = [2 * np.prod(shape, dtype=float) / each / 1e12 for each in times]
                yield Result(" × ".join(f"{size:,}" for size in shape), "bfloat16", name, "TFLOP/s", values)


def device(plan: DevicePlan) -> Iterator[Result]:
    """Yield the rates of `embed` with token ids and vectors on the device."""
    for precision in plan.precisions:
        with started(plan, "device", precision) as workers:
            for length in plan.lengths:
                tokens = random_tokens(_lengths(length, plan))
                kept = agreeing(workers, plan, precision, place, tokens, plan.budget)
                yield from _rates(length, precision, calls(kept, seconds, run), tokens.lengths, plan)


def encode_texts(plan: DevicePlan) -> Iterator[Result]:
    """Yield the rates of `encode`, from texts to vectors in host memory."""
    for precision in plan.precisions:
        with started(plan, "encode", precision) as workers:
            for length in plan.lengths:
                texts = texts_of(length, plan.tokens)
                kept = agreeing(workers, plan, precision, first_vectors, texts)
                lengths = token_counts(plan.folder, texts)
                yield from _rates(length, precision, calls(kept, seconds, encode, texts), lengths, plan)


LEVELS: Mapping[str, Callable[[DevicePlan], Iterator[Result]]] = {
    "products": products,
    "device": device,
    "encode": encode_texts,
}


def _lengths(length: Length, plan: DevicePlan) -> NDArray[np.int32]:
    if length is None:
        return token_counts(plan.folder, texts_of(None, plan.tokens))
    return np.full(plan.tokens // length, length, np.int32)


def _rates(
    length: Length,
    precision: Precision,
    tasks: Mapping[str, Callable[[], float]],
    lengths: NDArray[np.int32],
    plan: DevicePlan,
) -> Iterator[Result]:
    ideal, times = minimum_operations(plan.folder, lengths) / plan.peak, in_turns(tasks, plan.rounds)
    return rate_results(length_name(length), precision, times, int(lengths.sum()), "tokens/s", ideal)
