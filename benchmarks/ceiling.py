"""What the machine's matrix multiplication alone would allow, measured beside the contenders, in our process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from benchmarks.contender import Contender
from benchmarks.lineup import Plan
from benchmarks.peers import Model, Precision
from benchmarks.peers.loop import tokenizer

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Peers have neither to import jax nor to count: everything here is imported where it runs.


def beside(
    contenders: Sequence[Contender],
    plan: Plan,
    precision: Precision,
    task: Callable[Concatenate[Model, _P], _R],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> tuple[dict[str, list[_R]], float]:
    """Has contenders do something in turns, A B C A B C …, and measures the ceiling in a turn of its own.

    Args:
        contenders: Ours, in whose process the ceiling is measured, and others.
        plan: How many rounds.
        precision: What the contenders compute in.
        task: What each does with its model.
        args: Further arguments of the task.
        kwargs: Its named arguments.

    Returns:
        What each returned, a round each; the ceiling, in additions and multiplications a second.
    """
    found: dict[str, list[_R]] = {each.name: [] for each in contenders}
    rates: list[float] = []
    for _ in range(plan.rounds):
        rates.append(contenders[0](rate, plan.folder, precision))
        for each in contenders:
            found[each.name].append(each.do(task, *args, **kwargs))
    return found, max(rates)  # A ceiling is what was reached once.


def rate(folder: Path, precision: Precision) -> float:
    """Returns the additions and multiplications a second of the layers' largest product."""
    from minilm_jax.checkpoints.folder_config import read_config
    from minilm_jax.runtime.speed import gemm_rate

    return gemm_rate(precision, read_config(folder))


def operations(folder: Path, texts: int, tokens: int) -> int:
    """Returns the additions and multiplications of embedding texts of so many tokens each."""
    from minilm_jax.checkpoints.folder_config import read_config
    from minilm_jax.runtime import speed

    return speed.operations(read_config(folder), texts, tokens)


def operations_of(folder: Path, texts: Sequence[str]) -> int:
    """Returns the additions and multiplications of embedding texts without any padding."""
    return sum(operations(folder, 1, len(each)) for each in tokenizer(folder).encode_batch_fast(list(texts)))
