"""A loss of vectors that can be truncated."""

import functools
from collections.abc import Sequence
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.nn.pooling import l2_normalize
from minilm_jax.training.losses.rows import floating, masked
from minilm_jax.training.losses.table import LossFunction, name_of


def matryoshka(loss: LossFunction, dims: Sequence[int], weights: Sequence[float] | None = None) -> LossFunction:
    """Return the weighted sum of a loss over several sizes of the vectors (arXiv 2205.13147).

    Args:
        loss: A loss of this package, or any function with the same arguments.
        dims: The sizes. Vectors are truncated to each and scaled to unit length. Contain the full size too, or only the
            truncated vectors are trained.
        weights: The weight of each size; by default 1.

    Returns:
        A loss with the arguments of `loss`.

    Raises:
        InputError: `dims` is empty, a size is not a positive integer, or there are not as many weights as sizes. A call
            raises it if a size is larger than the vectors.
    """
    sizes = [integer("a size in dims", size) for size in dims]
    factors = [1.0] * len(sizes) if weights is None else list(weights)
    if not sizes or len(factors) != len(sizes):
        raise InputError(f"dims has {len(sizes)} sizes and weights has {len(factors)}; pass one weight per size.")

    @functools.wraps(loss)
    def weighted_sum(vectors: Sequence[ArrayLike], labels: Any = None, **options: Any) -> Array:
        # Zeros, because the derivative of a normalized NaN is NaN, also where the loss does not use the row.
        rows = [masked(floating(column), options.get("valid")) for column in vectors]
        parts = [
            factor * loss([_truncated(column, size) for column in rows], labels, **options)
            for size, factor in zip(sizes, factors, strict=True)
        ]
        return sum(parts[1:], parts[0])

    weighted_sum.__name__ = f"matryoshka({name_of(loss)}, {sizes}, {factors})"
    return weighted_sum


def _truncated(vectors: Array, size: int) -> Array:
    if size > vectors.shape[-1]:
        raise InputError(f"dims contains {size}, but the vectors have {vectors.shape[-1]} components; remove it.")
    return l2_normalize(vectors[..., :size])
