"""The speed of `embed` on this machine, also as a fraction of the machine's matrix multiplication rate."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minilm_jax.config import EncoderConfig, Precision
from minilm_jax.nn.blocked_kernels import BlockedKernel, block_kernel, products_are_exact
from minilm_jax.nn.casting import cast
from minilm_jax.nn.dense import dot, dot_integers
from minilm_jax.nn.params import Params
from minilm_jax.runtime.engine import Engine
from minilm_jax.tokens.batching import Batch, Shape

SHAPES = ((32, 16), (32, 32), (16, 128), (8, 256), (1, 16))
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
_ROUNDS = 5
# The measured product has this many rows, so that its operands stay in a core's cache.
_GEMM_ROWS = 1_024


@dataclasses.dataclass(frozen=True)
class Speed:
    """The speed of one precision at one shape.

    Attributes:
        precision: Precision of the computation.
        shape: Number of texts and tokens per text, [B, T].
        seconds: Median time of a call.
        ceiling: Fraction of the machine's matrix multiplication rate that is reached.
    """

    precision: Precision
    shape: Shape
    seconds: float
    ceiling: float

    @property
    def texts_per_second(self) -> float:
        """Texts per second."""
        return self.shape[0] / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second."""
        return self.shape[1] * self.texts_per_second


def measure(params: Params, config: EncoderConfig) -> Iterator[Speed]:
    """Measure `embed` on random token ids, as `SentenceEncoder` runs it, in every precision and at several shapes.

    Args:
        params: Nested dict of float32 arrays.
        config: Config of the encoder.

    Yields:
        Each result as soon as it is measured.
    """
    for precision in _PRECISIONS:
        operations_per_second = gemm_rate(precision, config)
        engine = Engine(cast(params, precision, config), config)
        for shape in SHAPES:
            seconds = _seconds_per_call(engine, shape, config)
            ideal = operations(config, *shape) / operations_per_second
            yield Speed(precision, shape, seconds, ideal / seconds)


def _seconds_per_call(engine: Engine, shape: Shape, config: EncoderConfig) -> float:
    """Return the seconds per batch with all workers busy, or the seconds of a call with one text."""
    ids = np.random.default_rng(0).integers(config.vocab_size, size=shape).astype(np.int32)
    batches = [Batch(ids, np.ones_like(ids))] * (1 if shape[0] == 1 else 2 * engine.devices.workers)
    return statistics.median(_seconds(lambda: list(engine.embed_batches(batches)))) / len(batches)


def operations(config: EncoderConfig, texts: int, tokens: int) -> int:
    """Return the arithmetic operations of a call: 2 per weight and token, plus the two products of attention."""
    width = config.hidden_size
    dense = 2 * (4 * width * width + 2 * width * config.intermediate_size)
    return config.num_hidden_layers * texts * tokens * (dense + 4 * tokens * width)


def gemm_rate(precision: Precision, config: EncoderConfig) -> float:
    """Measure the rate of the layers' largest matrix product, in operations per second."""
    if precision == "bfloat16":  # A CPU may compute bfloat16 in float32 if that is faster, see `cpu_params`.
        return max(_gemm_rate(kind, config) for kind in ("float32", "bfloat16"))
    return _gemm_rate(precision, config)


def _gemm_rate(precision: Precision, config: EncoderConfig) -> float:
    rows, width, wide = _GEMM_ROWS, config.hidden_size, config.intermediate_size
    random = np.random.default_rng(0)
    left, right = (random.integers(0, 127, shape).astype(np.int8) for shape in ((rows, width), (width, wide)))
    dtype = jnp.dtype(precision)
    x = jnp.asarray(left, jnp.uint8 if precision == "int8" else dtype)
    product = jax.jit(dot_integers if precision == "int8" else dot)
    kernel = jnp.asarray(right, dtype)
    forms: list[Array | BlockedKernel] = [kernel]
    blocked = block_kernel(kernel)
    if isinstance(blocked, BlockedKernel) and products_are_exact(rows, frozenset([(blocked.shape, blocked.dtype)])):
        forms.append(blocked)
    # The fastest run counts, because slower runs were disturbed by other work.
    return 2 * rows * width * wide / min(second for form in forms for second in _seconds(product, x, form))


def _seconds(function: Callable[..., Any], *arguments: Any) -> list[float]:
    jax.block_until_ready(function(*arguments))

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        return time.perf_counter() - start

    return [once() for _ in range(_ROUNDS)]
