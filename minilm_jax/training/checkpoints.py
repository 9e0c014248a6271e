"""Checkpoints of a run, written by Orbax: the newest ones and the best one."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from minilm_jax.errors import InputError
from minilm_jax.training.step import TrainingState

# Key of the evaluation's result in the metrics of a checkpoint.
_SCORE = "score"


class Checkpoints:
    """The checkpoints in a folder. A checkpoint appears when it is complete; earlier ones stay until then."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, which may exist."""
        best = checkpoint_managers.BestN(
            get_metric_fn=lambda metrics: metrics[_SCORE], n=1, keep_checkpoints_without_metrics=False
        )
        policies = checkpoint_managers.AnyPreservationPolicy([checkpoint_managers.LatestN(1), best])
        options = ocp.CheckpointManagerOptions(preservation_policy=policies, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainingState, score: float | None) -> None:
        """Write a checkpoint.

        Args:
            state: The state after a step.
            score: The result of the evaluation at this step, where higher is better; or None.

        Raises:
            InputError: The disk is full, or the folder cannot be written; earlier checkpoints remain.
        """
        metrics = None if score is None else {_SCORE: float(score)}
        with _disk_errors():
            self._manager.save(
                int(state.step), args=ocp.args.StandardSave(state._asdict()), metrics=metrics, force=True
            )

    def restore(self, like: TrainingState, step: int) -> TrainingState:
        """Read a checkpoint.

        Args:
            like: A state with the same shapes, dtypes and shardings.
            step: Step of the checkpoint.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        values: Mapping[str, Any] = self._manager.restore(step, args=ocp.args.StandardRestore(target))
        return TrainingState(**values)

    def close(self) -> None:
        """Wait for the last checkpoint."""
        self._manager.close()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        # Tensorstore reports a full disk as a ValueError.
        raise InputError(
            f"the checkpoint could not be written: {error!s:.300} Earlier checkpoints remain; make room on the disk and"
            " run the same command again to continue."
        ) from error
