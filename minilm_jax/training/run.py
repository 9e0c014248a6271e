"""`Run`: the steps of one fine-tuning, with evaluations, checkpoints and a log."""

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import flatten
from minilm_jax.runtime.workers import prefetch
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.training.batches import Batches, TrainingBatch
from minilm_jax.training.checkpoints import Checkpoints
from minilm_jax.training.log import TrainingLog
from minilm_jax.training.losses import Loss
from minilm_jax.training.optimizer import optimizer, schedule
from minilm_jax.training.options import TrainingOptions
from minilm_jax.training.parts import divide
from minilm_jax.training.progress import TrainingProgress
from minilm_jax.training.step import Measured, TrainingState, training_step

_IDENTITY_FILE = "run.json"
_CHECKPOINTS = "checkpoints"

Scores = Mapping[str, float]
# Evaluates params; returns all scores, and the one that decides which params are best (higher is better).
Evaluate = Callable[[EncoderParams], tuple[Scores, float]]


class Run:
    """One run over tokenized data.

    Attributes:
        steps: Number of batches.
        log: The log.
    """

    def __init__(
        self,
        params: EncoderParams,
        tokens: RaggedIds,
        ids: NDArray[np.int32],
        labels: NDArray[Any] | None,
        loss: Loss,
        options: TrainingOptions,
        *,
        loss_name: str = "",
        mesh: Mesh | None = None,
        folder: Path | None = None,
    ) -> None:
        """Prepare a run, which continues where an earlier one in the same folder ended.

        Args:
            params: float32 params.
            tokens: Token ids of C · n texts, column by column.
            ids: int32[n, C], equal for equal texts.
            labels: The labels of the n rows, or None.
            loss: The loss.
            options: The settings.
            loss_name: Name of the loss; a run with another one does not continue this one.
            mesh: Devices that split the rows of every batch, or None.
            folder: Where checkpoints and the log are kept, or None for neither.

        Raises:
            InputError: The data does not fit the batch size, or the folder belongs to a run with other settings.
        """
        self.steps, self._options = options.steps(len(ids)), options
        self._updates = max(1, self.steps // options.accumulation)
        self._mesh = mesh
        self._batches = Batches(
            tokens,
            ids,
            labels,
            options.batch_size,
            seed=options.seed,
            steps=self.steps,
            chunk_tokens=options.chunk_tokens,
            devices=1 if mesh is None else mesh.size,
        )
        self._parts = divide(params, options)
        update = optimizer(options, self._updates, params.config.num_hidden_layers)
        step = training_step(loss, self._parts, params.config, update, options, self._batches.chunk_rows)
        self._step = jax.jit(step, donate_argnums=0)
        self._fixed = self._placed(dict(self._parts.fixed))
        # The first step gives its arrays to the compiled program, so they must not be those of the model.
        trained = self._placed(jax.tree.map(jnp.copy, self._parts.trained))
        self._state = TrainingState(self._placed(jnp.zeros((), jnp.int32)), trained, self._placed(update.init(trained)))
        self._checkpoints = None
        if folder is not None:
            _check_identity(folder, {**_identity(params, tokens, labels, options), "loss": loss_name})
            self._checkpoints = Checkpoints(folder / _CHECKPOINTS)
            if (latest := self._checkpoints.latest) is not None:
                self._state = self._checkpoints.restore(self._state, latest)
        self.log = TrainingLog(folder, self.done if self.done else -1)
        self._best: Any = None
        if self._checkpoints and (best := self._best_entry):
            self._best = self._checkpoints.restore(self._state, best["step"]).trained

    @property
    def done(self) -> int:
        """Number of finished steps."""
        return int(self._state.step)

    @property
    def _best_entry(self) -> Mapping[str, Any] | None:
        """The log's entry of the best evaluation since the run began; of equal ones the last."""
        entries = [entry for entry in self.log.entries if "scores" in entry and entry["step"]]
        return max(reversed(entries), key=lambda entry: entry["score"], default=None)

    @property
    def best_scores(self) -> Scores | None:
        """Scores of the best params, or None without evaluations."""
        return None if self._best_entry is None else self._best_entry["scores"]

    @property
    def params(self) -> EncoderParams:
        """The current params."""
        return self._parts.merge(self._state.trained, self._fixed)

    def train(self, evaluate: Evaluate | None, show_progress_bar: bool | None) -> None:
        """Take the remaining steps; then, `params` are the best ones if they were evaluated, otherwise the last ones.

        Args:
            evaluate: Evaluates params, or None.
            show_progress_bar: Whether to show a bar, or None for a bar on terminals.

        Raises:
            InputError: The loss is not a finite number, or a checkpoint cannot be written.
        """
        if evaluate and self.log.scores(0) is None:
            scores, score = evaluate(self.params)
            self.log.add(0, scores=dict(scores), score=score)
        saved = self._milestones(self._options.checkpoints) if self._checkpoints else set()
        evaluated = self._milestones(self._options.evaluations) if evaluate else set()
        with TrainingProgress(self.steps, self.done, show_progress_bar) as progress, self._saved_on_interrupt():
            for loss in self._logged(self._losses()):
                progress.update(loss)
                score = self._evaluate(evaluate) if evaluate and self.done in evaluated else None
                if self._checkpoints and (self.done in saved or score is not None):
                    self._checkpoints.save(self._state, score)
        if self._best is not None:
            self._state = self._state._replace(trained=self._best)
        if self._checkpoints:
            self._checkpoints.close()

    def _milestones(self, count: int) -> set[int]:
        """Return steps at equal distances, of which the last one is the end of the run."""
        return {round(self.steps * part / (count + 1)) for part in range(1, count + 2)}

    def _losses(self) -> Iterator[tuple[Measured, float]]:
        """Take one step after the other; yield its figures and its seconds."""
        started = time.perf_counter()
        for batch in prefetch(self._batches[step] for step in range(self.done, self.steps)):
            state, measured = self._step(self._state, self._fixed, self._on_devices(batch))
            self._state = state
            if not math.isfinite(float(measured.loss)):
                raise InputError(self._not_finite(self.done - 1, float(measured.loss)))
            yield measured, time.perf_counter() - started
            started = time.perf_counter()

    def _logged(self, steps: Iterator[tuple[Measured, float]]) -> Iterator[float]:
        """Write the mean loss, the rates and the norm of the gradient of every few steps to the log."""
        rate, losses, seconds = _rate(schedule(self._options, self._updates)), [], 0.0
        for measured, duration in steps:
            losses.append(float(measured.loss))
            seconds += duration
            if self.done % self._options.log_steps == 0 or self.done == self.steps:
                self.log.add(
                    self.done,
                    epoch=self._batches.epoch(self.done),
                    loss=sum(losses) / len(losses),
                    learning_rate=rate((self.done - 1) // self._options.accumulation),
                    grad_norm=float(measured.grad_norm),
                    steps_per_second=len(losses) / seconds,
                )
                losses, seconds = [], 0.0
            yield float(measured.loss)

    def _evaluate(self, evaluate: Evaluate) -> float:
        scores, score = evaluate(self.params)
        self.log.add(self.done, scores=dict(scores), score=score)
        if self._best_entry is self.log.entries[-1]:
            self._best = jax.tree.map(jnp.copy, self._state.trained)
        return score

    def _not_finite(self, step: int, loss: float) -> str:
        rows = ", ".join(str(row + 1) for row in self._batches.rows(step)[:8])
        return (
            f"the loss is {loss} at step {step + 1} (epoch {self._batches.epoch(step):.2f}; its first rows are {rows})."
            f" Lower learning_rate ({self._options.learning_rate:g}), raise warmup, or check the labels of these rows."
        )

    @contextlib.contextmanager
    def _saved_on_interrupt(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            if self._checkpoints and self._is_intact() and self._checkpoints.latest != self.done:
                self._checkpoints.save(self._state, None)
            raise

    def _is_intact(self) -> bool:
        """Return whether the state can be saved: a step may have taken its arrays, or its loss was not checked yet."""
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(self._state)):
            return False
        return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(self._state.trained))

    def _placed(self, tree: Any) -> Any:
        """Copy arrays to every device."""
        return tree if self._mesh is None else jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def _on_devices(self, batch: TrainingBatch) -> TrainingBatch:
        """Split the rows of a batch over the devices."""
        if self._mesh is None:
            return batch
        rows = NamedSharding(self._mesh, PartitionSpec(self._mesh.axis_names))
        return self._placed(batch._replace(packed=None))._replace(packed=jax.device_put(batch.packed, rows))


def _rate(schedule: optax.Schedule) -> Callable[[int], float]:
    """Return a schedule as a function of Python numbers."""

    def rate(update: int) -> float:
        with jax.numpy_dtype_promotion("standard"):
            return float(jnp.asarray(schedule(update)))

    return rate


def _identity(
    params: EncoderParams, tokens: RaggedIds, labels: NDArray[Any] | None, options: TrainingOptions
) -> dict[str, str]:
    """Return hashes of everything that determines the trained weights."""

    def digest(*arrays: Any) -> str:
        found = hashlib.sha256()
        for array in arrays:
            found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return found.hexdigest()

    data = [tokens.ids, tokens.lengths, *([] if labels is None else [labels])]
    model = digest(*(leaf for _, leaf in sorted(flatten(params).items())))
    return {"model": model, "data": digest(*data), "options": repr(options)}


def _check_identity(folder: Path, identity: Mapping[str, str]) -> None:
    """Remember the identity of a run in its folder; raises InputError if the folder belongs to another run."""
    path = folder / _IDENTITY_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        found = json.loads(path.read_text("utf-8"))
        if changed := [name for name in identity if found.get(name) != identity[name]]:
            raise InputError(
                f"{folder} holds a run with other {' and '.join(changed)}; choose another folder, or delete this one."
            )
    path.write_text(json.dumps(identity, indent=2) + "\n", "utf-8")
