"""What is measured: products of matrices, `embed` on the device, and texts to vectors; contenders in turns."""

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.contenders import ENTRIES, HALVES, Contender
from benchmarks.gpu.work import LENGTHS, Length, name_of, random_tokens, texts_of
from benchmarks.results import Result
from benchmarks.worker import WorkerError
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.config import EncoderConfig
from minilm_jax.runtime.speed import operations
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.tokenizer import TextTokenizer

# All round to 16 bits, each in a way of its own; whoever only tokenizes has no vectors.
_LEAST_COSINE = 0.99

# Calls of a product in a row, so that starting it does not count.
_CALLS = 20


@dataclasses.dataclass
class Plan:
    """What a run was asked for.

    Attributes:
        folder: The model.
        precisions: What to compute in.
        rounds: How often each contender is measured.
        lengths: Tokens a text.
        tokens: Tokens a measurement.
        budget: Tokens a call, padding included.
        square: Rows and columns of the large matrices.
        rate: The most additions and multiplications a second that a product reached; none is known at first.
        notes: What a reader should know of the contenders, added to as it is found out.
    """

    folder: Path
    precisions: Sequence[str] = HALVES
    rounds: int = 5
    lengths: Sequence[Length] = LENGTHS
    tokens: int = 1 << 20
    budget: int = 1 << 17
    square: int = 8_192
    rate: float = float("nan")
    notes: list[str] = dataclasses.field(default_factory=list)


def facts(plan: Plan) -> Mapping[str, str]:
    """Returns the device, and how contenders multiply float32."""
    with _lineup("products", plan, plan.precisions[0]) as contenders:
        return {name: fact for each in contenders for name, fact in each.do("facts").items()}


def products(plan: Plan) -> Iterator[Result]:
    """Measures products of bfloat16 matrices: large ones, and the model's own; sets `plan.rate`."""
    config, rates = read_config(plan.folder), []
    width, wide = config.hidden_size, config.intermediate_size
    square = (plan.square,) * 3
    model = [(plan.budget, *shape) for shape in ((width, width), (width, 3 * width), (width, wide), (wide, width))]
    with _lineup("products", plan, "bfloat16") as contenders:
        for shape in (square, *model):
            found = _in_turns(contenders, plan.rounds, lambda each, shape=shape: each.do("multiply", *shape, _CALLS))
            for name, seconds in found.items():
                values = [2 * np.prod(shape, dtype=float) / each / 1e12 for each in seconds]
                rates += values
                yield Result(" × ".join(f"{size:,}" for size in shape), "bfloat16", name, "TFLOP/s", values)
    plan.rate = 1e12 * max(rates)  # A ceiling is what was reached once.


def device(plan: Plan) -> Iterator[Result]:
    """Measures `embed` on token ids that lie on the device, whose vectors stay there."""
    tokenizer, config = TextTokenizer(plan.folder / TOKENIZER_FILE), read_config(plan.folder)
    for precision in plan.precisions:
        with _lineup("device", plan, precision) as contenders:
            for length in plan.lengths:
                tokens = random_tokens(_lengths(length, plan.tokens, tokenizer))
                agreeing = _agreeing(contenders, plan, precision, "place", tokens, plan.budget)
                found = _in_turns(agreeing, plan.rounds, lambda each: each.seconds("run"))
                yield from _results(name_of(length), precision, found, tokens, config, plan)


def encode(plan: Plan) -> Iterator[Result]:
    """Measures `encode`, texts in the memory of the host to vectors there."""
    tokenizer, config = TextTokenizer(plan.folder / TOKENIZER_FILE), read_config(plan.folder)
    for precision in plan.precisions:
        with _lineup("encode", plan, precision) as contenders:
            for length in plan.lengths:
                texts = texts_of(length, plan.tokens)
                tokens = tokenizer(texts).tokens
                agreeing = _agreeing(contenders, plan, precision, "encode", texts)
                found = _in_turns(agreeing, plan.rounds, lambda each, texts=texts: each.seconds("encode", texts))
                yield from _results(name_of(length), precision, found, tokens, config, plan)


@contextlib.contextmanager
def _lineup(level: str, plan: Plan, precision: str) -> Iterator[list[Contender]]:
    entries = [entry for entry in ENTRIES if level in entry.levels]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Contender(entry, plan.folder, precision)) for entry in entries]


def _in_turns(
    contenders: Sequence[Contender], rounds: int, task: Callable[[Contender], float]
) -> Mapping[str, Sequence[float]]:
    """Has contenders do something A B C A B C …; returns what came of it by their names."""
    found = [[task(each) for each in contenders] for _ in range(rounds)]
    return {each.name: column for each, column in zip(contenders, zip(*found, strict=True), strict=True)}


def _agreeing(
    contenders: Sequence[Contender], plan: Plan, precision: str, method: str, *arguments: Any
) -> list[Contender]:
    """Warms contenders up, ours first; returns those whose vectors are ours, and notes why others are left out."""
    ours, agreeing = contenders[0].probe(method, *arguments), [contenders[0]]
    for each in contenders[1:]:
        try:
            theirs = each.probe(method, *arguments)
            if len(theirs) and (cosine := _mean_cosine(ours, theirs)) < _LEAST_COSINE:
                raise ValueError(f"its vectors have a mean cosine of {cosine:.3f} with ours")
        except (WorkerError, ValueError) as error:
            plan.notes.append(f"{each.name}, {precision}: left out: {error}")
        else:
            agreeing.append(each)
    return agreeing


def _mean_cosine(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    # What is rounded to 16 bits after it was made unit length is so no more.
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / lengths).mean())


def _lengths(length: Length, tokens: int, tokenizer: TextTokenizer) -> NDArray[np.int32]:
    if length is None:
        return tokenizer(texts_of(None, tokens)).tokens.lengths
    return np.full(tokens // length, length, np.int32)


def _results(
    what: str,
    precision: str,
    found: Mapping[str, Sequence[float]],
    tokens: RaggedIds,
    config: EncoderConfig,
    plan: Plan,
) -> Iterator[Result]:
    total = int(tokens.lengths.sum())
    least = sum(operations(config, 1, int(length)) for length in tokens.lengths) / plan.rate
    for name, seconds in found.items():
        ceiling = least / statistics.median(seconds)
        yield Result(what, precision, name, "tokens/s", [total / each for each in seconds], ceiling)
