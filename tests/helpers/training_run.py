"""`python -m tests.helpers.training_run`: a small training in a process that is killed, or whose disk fills up."""

import argparse
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minilm_jax.errors import InputError
from minilm_jax.training import train
from minilm_jax.training.batches import Batches
from tests.helpers.training import PAIRS, quick, small_encoder


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk() -> None:
    """Let writes beyond the first kilobytes of a file fail, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))


def before_step(step: int, happens: Callable[[], None]) -> None:
    """Let something happen when the batch of a step is prepared."""
    take = Batches.__getitem__

    def replaced(self: Batches, number: int) -> Any:
        if number == step:
            happens()
        return take(self, number)

    Batches.__getitem__ = replaced  # pyright: ignore[reportAttributeAccessIssue]


def score(model: Any) -> float:
    return float(abs(model.encode(["a cat"])).sum())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kill", type=int)
    parser.add_argument("--fill-disk", type=int)
    arguments = parser.parse_args()
    for at, event in ((arguments.kill, kill), (arguments.fill_disk, fill_disk)):
        if at is not None:
            before_step(at, event)
    options = quick(max_steps=8, dropout=True, checkpoints=3, evaluations=1)
    model = small_encoder(arguments.folder)
    try:
        train(model, PAIRS, options=options, evaluator=score, output_dir=arguments.output)
    except InputError as error:
        raise SystemExit(str(error)) from None
