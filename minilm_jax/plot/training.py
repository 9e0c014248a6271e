"""Curves of a training run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilm_jax.errors import InputError
from minilm_jax.plot import style
from minilm_jax.training.log import read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training(log: str | Path | Iterable[Mapping[str, Any]], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the loss of a run and, on a second axis, the score of its evaluations.

    Args:
        log: The `training.jsonl` of a run, or the entries, such as `TrainingResult.log`.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes of the loss.

    Raises:
        InputError: The log has no steps, or matplotlib is not installed.
    """
    entries = [*(read_log(log) if isinstance(log, str | Path) else log)]
    losses = [(entry["step"], entry["loss"]) for entry in entries if "loss" in entry]
    if not losses:
        raise InputError("the log has no steps; pass that of a run with at least one.")
    ax = style.axes(ax, 7, 4)
    ax.plot(*zip(*losses, strict=True), color="tab:blue", label="loss")
    ax.set_xlabel("step")
    ax.set_ylabel("loss", color="tab:blue")
    ax.spines[["top", "right"]].set_visible(False)
    if scores := [(entry["step"], entry["score"]) for entry in entries if "scores" in entry]:
        right = ax.twinx()
        right.plot(*zip(*scores, strict=True), color="tab:orange", marker="o", label="score")
        right.set_ylabel("score", color="tab:orange")
        right.spines[["top", "left"]].set_visible(False)
    return ax
