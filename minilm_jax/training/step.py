"""One training step as a pure function."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.casting import cast
from minilm_jax.nn.heads import results_and_hidden_state
from minilm_jax.tokens.packed_rows import PackedBatch
from minilm_jax.training.batches import TrainingBatch
from minilm_jax.training.grad_cache import in_chunks
from minilm_jax.training.losses import Loss
from minilm_jax.training.options import TrainingOptions
from minilm_jax.training.parts import Parts


class TrainingState(NamedTuple):
    """Everything that a step changes.

    Attributes:
        step: int32, the number of finished steps.
        trained: The trained arrays, see `Parts`.
        optimizer: The state of the optimizer.
    """

    step: Array
    trained: Any
    optimizer: Any


class Measured(NamedTuple):
    """Figures of one step.

    Attributes:
        loss: float32, the loss before the update.
        grad_norm: float32, the global norm of the gradient, before clipping.
    """

    loss: Array
    grad_norm: Array


Step = Callable[[TrainingState, Mapping[str, Array], TrainingBatch], tuple[TrainingState, Measured]]


def training_step(
    loss: Loss,
    parts: Parts,
    config: EncoderConfig,
    optimizer: optax.GradientTransformation,
    options: TrainingOptions,
    chunk_rows: int | None = None,
) -> Step:
    """Return the function of one step: state, fixed params and batch to the next state and the loss.

    Args:
        loss: The loss.
        parts: The division of the params.
        config: The config of the model.
        optimizer: The optimizer.
        options: The settings of the run.
        chunk_rows: Rows that are computed at a time, or None.
    """
    root = jax.random.key(options.seed)

    def loss_of(trained: Any, fixed: Any, batch: TrainingBatch, step: Array) -> Array:
        params = parts.merge(trained, fixed)
        if options.precision != "float32":
            params = cast(params, options.precision)
        key = jax.random.fold_in(root, step) if options.dropout else None
        results = packed_results(params, batch.packed, config, key, chunk_rows)
        # [R, S, E] at the places of the texts: one [B, E] per column.
        columns = results.reshape(-1, results.shape[-1])[batch.places]
        return loss([*columns], batch.labels, ids=batch.ids)

    def step(state: TrainingState, fixed: Any, batch: TrainingBatch) -> tuple[TrainingState, Measured]:
        value, gradient = jax.value_and_grad(loss_of)(state.trained, fixed, batch, state.step)
        with jax.numpy_dtype_promotion("standard"):  # optax does not run with strict promotion.
            updates, inner = optimizer.update(gradient, state.optimizer, state.trained)
            trained = optax.apply_updates(state.trained, updates)
            norm = optax.tree.norm(gradient)
        return TrainingState(state.step + 1, trained, inner), Measured(value, norm)

    return step


def packed_results(
    params: Any, batch: PackedBatch, config: EncoderConfig, key: Array | None, chunk_rows: int | None
) -> Array:
    """Compute the results of the texts in packed rows, all at once or in chunks.

    Args:
        params: The parameter tree.
        batch: Packed rows, R of T tokens.
        config: The config of the params.
        key: Key of dropout, or None.
        chunk_rows: Rows per chunk, or None. R is a multiple of it, or smaller.

    Returns:
        float32[R, S, E].
    """
    rows = len(batch.input_ids)

    def compute(params: Any, chunk: PackedBatch, own_key: Array | None) -> Array:
        return results_and_hidden_state(params, chunk, config, own_key)[0]

    if chunk_rows is None or chunk_rows >= rows:
        return compute(params, batch, key)
    results = in_chunks(compute, chunk_rows)(params, jax.tree.map(jnp.asarray, batch), key)
    return results.reshape(rows, batch.lengths.shape[1], -1)
