"""The ceiling: the time that the matrix multiplications of an embedding would take on this machine by themselves."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.measuring import Plan, calls, in_turns
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.config import Precision
from minilm_jax.runtime.speed import gemm_rate, operations
from minilm_jax.tokens.tokenizer import TextTokenizer

_P = ParamSpec("_P")
_R = TypeVar("_R")

_CEILING = "ceiling"


def in_turns_with_ceiling(
    workers: Sequence[ModelWorker],
    plan: Plan,
    precision: Precision,
    task: Callable[Concatenate[Any, _P], _R],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> tuple[dict[str, list[_R]], float]:
    """Run a task with every contender in turns, and measure the ceiling in each round too.

    Args:
        workers: The contenders; the ceiling is measured in the process of the first, minilm-jax.
        plan: The settings, with the number of rounds.
        precision: The precision that the contenders compute in.
        task: Runs in the process of each contender, with its model.
        args: Further positional arguments of the task.
        kwargs: Keyword arguments of the task.

    Returns:
        The task's results of each round, by contender; the ceiling, in floating-point operations per second.
    """
    turns: dict[str, Callable[[], Any]] = {**calls(workers, task, *args, **kwargs)}
    turns[_CEILING] = lambda: workers[0](matmul_rate, plan.folder, precision)
    found = in_turns(turns, plan.rounds)
    return found, max(found.pop(_CEILING))  # Slower rounds were disturbed by other work.


def matmul_rate(folder: Path, precision: Precision) -> float:
    """Measure the operations per second of the layers' largest matrix product."""
    return gemm_rate(precision, read_config(folder))


def token_counts(folder: Path, texts: Sequence[str]) -> NDArray[np.int32]:
    """Return the number of tokens of each text, truncated at 256."""
    return TextTokenizer(folder / TOKENIZER_FILE)(texts).tokens.lengths


def minimum_operations(folder: Path, lengths: Iterable[int]) -> int:
    """Return the operations of embedding texts with these numbers of tokens, without padding."""
    config = read_config(folder)
    return sum(operations(config, 1, int(length)) for length in lengths)
