"""The optimizer: AdamW with clipping, a schedule, and rates that depend on the layer; by optax."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import optax

from minilm_jax.training.options import TrainingOptions

# PyTorch's AdamW and BERT use these.
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


def schedule(options: TrainingOptions, updates: int) -> optax.Schedule:
    """Return the learning rate of each update.

    Args:
        options: The settings of the run.
        updates: Number of updates in all.
    """
    warmup = min(updates, math.ceil(options.warmup * updates) if options.warmup < 1 else int(options.warmup))
    after, highest = max(1, updates - warmup), options.learning_rate
    falling: dict[str, optax.Schedule] = {
        "linear": optax.linear_schedule(highest, 0.0, after),
        "cosine": optax.cosine_decay_schedule(highest, after),
        "constant": optax.constant_schedule(highest),
    }
    rising = optax.linear_schedule(0.0, highest, max(1, warmup))
    return optax.join_schedules([rising, falling[options.schedule]], [warmup])


def optimizer(options: TrainingOptions, updates: int, layers: int) -> optax.GradientTransformation:
    """Return the optimizer for a dict of arrays by path.

    Args:
        options: The settings of the run.
        updates: Number of updates in all.
        layers: Number of layers of the encoder.
    """
    chain = optax.chain(
        optax.clip_by_global_norm(options.max_grad_norm),
        optax.scale_by_adam(*_BETAS, eps=_EPSILON),
        optax.add_decayed_weights(options.weight_decay, mask=_decays),
        optax.identity() if options.layer_decay == 1 else _layer_rates(options.layer_decay, layers),
        optax.scale_by_learning_rate(schedule(options, updates)),
    )
    if options.accumulation == 1:
        return chain
    return optax.MultiSteps(chain, options.accumulation).gradient_transformation()


def _decays(params: Mapping[str, Any]) -> Any:
    """Return which params decay: neither biases nor LayerNorm."""
    return {
        path: jax.tree.map(lambda _, own=path: not own.endswith(".bias") and "LayerNorm" not in own, leaf)
        for path, leaf in params.items()
    }


def _layer_rates(decay: float, layers: int) -> optax.GradientTransformation:
    """Multiply updates by a power of the decay: 0 above the encoder and in its last layer, one more per layer below."""

    def factor(path: str) -> float:
        below = layers - 1 - int(path.split(".")[2]) if path.startswith("encoder.layer.") else 0
        return decay ** (layers if path.startswith("embeddings.") else below)

    def scale(updates: Any, _: Any = None) -> Any:
        return {path: jax.tree.map(lambda leaf, own=path: leaf * factor(own), leaf) for path, leaf in updates.items()}

    return optax.stateless(scale)
