"""Dropout (Srivastava et al., 2014), which only training uses."""

import jax
import jax.numpy as jnp
from jax import Array


def dropout(x: Array, rate: float, key: Array | None) -> Array:
    """Set elements to zero with a probability, and divide the others by the probability that they remain.

    Args:
        x: float[...].
        rate: The probability of a zero, in [0, 1).
        key: A `jax.random.key`, or None to return x itself.

    Returns:
        float[...], with the shape and dtype of x.
    """
    if key is None or not rate:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), jnp.zeros((), x.dtype))


def split_key(key: Array | None, count: int) -> list[Array | None]:
    """Return independent keys, or None for each if the key is None."""
    return [None] * count if key is None else list(jax.random.split(key, count))
