"""What a cross-encoder applies to its logits: functions by name, by a module of torch, or any function."""

from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from minilm_jax.config import ScoreActivation
from minilm_jax.config.heads import score_activation
from minilm_jax.errors import InputError, did_you_mean


def as_activation(activation: Any) -> Callable[[Any], ArrayLike]:
    """Return the function of an activation.

    Args:
        activation: A name, a module of torch such as `torch.nn.Sigmoid()`, or a function of float32[n, L].

    Raises:
        InputError: The name is unknown, or the argument is neither a name nor a function.
    """
    if isinstance(activation, str):
        if activation not in _FUNCTIONS:
            near, known = did_you_mean(activation, _FUNCTIONS), ", ".join(get_args(ScoreActivation))
            raise InputError(f"activation_fn is {activation!r}; it must be one of {known}, or a function.{near}")
        return _FUNCTIONS[activation]
    kind = type(activation)
    if kind.__module__.partition(".")[0] == "torch":
        return _FUNCTIONS[score_activation(f"{kind.__module__}.{kind.__qualname__}")]
    if not callable(activation):
        raise InputError(f"activation_fn is {activation!r:.60}; pass a name, such as 'sigmoid', or a function.")
    return cast(Callable[[Any], ArrayLike], activation)


# numpy computes these, because XLA would compile a program for every number of pairs.
def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # exp of a negative number does not overflow.
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small), np.float32)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


_FUNCTIONS: Mapping[str, Callable[[Any], ArrayLike]] = {
    "identity": lambda logits: logits,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softmax": _softmax,
}
