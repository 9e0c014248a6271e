"""How fast this machine embeds, and how much of its matrix multiplication rate that is."""

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
from minilm_jax.nn.blocked_kernels import BlockedKernel, computes, pack
from minilm_jax.nn.casting import cast
from minilm_jax.nn.dense import dot, dot_integers
from minilm_jax.nn.params import Params
from minilm_jax.runtime.engine import Engine
from minilm_jax.tokens.batching import Batch, Shape

SHAPES = ((32, 16), (32, 32), (16, 128), (8, 256), (1, 16))
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
_ROUNDS = 5
# As many rows as stay in a core's cache, the usual width, and the widest kernel.
_GEMM_ROWS = 1_024


@dataclasses.dataclass(frozen=True)
class Speed:
    """How fast one precision is at one shape.

    Attributes:
        precision: What was computed in.
        shape: Texts and tokens a text, [B, T].
        seconds: A call, the median of several.
        ceiling: Fraction of the time that its matrix multiplications alone would take.
    """

    precision: Precision
    shape: Shape
    seconds: float
    ceiling: float

    @property
    def texts_per_second(self) -> float:
        """Texts embedded a second."""
        return self.shape[0] / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens embedded a second."""
        return self.shape[1] * self.texts_per_second


def measure(params: Params, config: EncoderConfig) -> Iterator[Speed]:
    """Measures `embed` on random token ids as `SentenceEncoder` runs it, in every precision and at several shapes.

    Args:
        params: Nested dict of float32 arrays.
        config: Sizes of the encoder that params belong to.

    Yields:
        One result after the other, as soon as it is there.
    """
    for precision in _PRECISIONS:
        operations_per_second = gemm_rate(precision, config)
        engine = Engine(cast(params, precision, config), config)
        for shape in SHAPES:
            seconds = _seconds_a_call(engine, shape, config)
            ideal = operations(config, *shape) / operations_per_second
            yield Speed(precision, shape, seconds, ideal / seconds)


def _seconds_a_call(engine: Engine, shape: Shape, config: EncoderConfig) -> float:
    """Measures batches on all streams, or one text by itself."""
    ids = np.random.default_rng(0).integers(config.vocab_size, size=shape).astype(np.int32)
    batches = [Batch(ids, np.ones_like(ids))] * (1 if shape[0] == 1 else 2 * engine.placement.streams)
    return statistics.median(_seconds(lambda: list(engine.embed_batches(batches)))) / len(batches)


def operations(config: EncoderConfig, texts: int, tokens: int) -> int:
    """Returns the additions and multiplications of one call: 2 a weight and token, and attention's two products."""
    width = config.hidden_size
    dense = 2 * (4 * width * width + 2 * width * config.intermediate_size)
    return config.num_hidden_layers * texts * tokens * (dense + 4 * tokens * width)


def gemm_rate(precision: Precision, config: EncoderConfig) -> float:
    """Measures the additions and multiplications a second of the layers' largest product."""
    if precision == "bfloat16":  # What is faster is what is computed in, see `cpu_params`.
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
    packed = pack(kernel)
    if isinstance(packed, BlockedKernel) and computes(rows, frozenset([(packed.shape, packed.dtype)])):
        forms.append(packed)
    # A ceiling is what was reached once.
    return 2 * rows * width * wide / min(second for form in forms for second in _seconds(product, x, form))


def _seconds(function: Callable[..., Any], *arguments: Any) -> list[float]:
    jax.block_until_ready(function(*arguments))

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        return time.perf_counter() - start

    return [once() for _ in range(_ROUNDS)]
