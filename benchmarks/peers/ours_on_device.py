"""minilm-jax with its inputs and outputs kept on a device, in several variants."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from benchmarks.gpu.workload import padded
from benchmarks.peers import Vectors
from benchmarks.peers.ours import Ours, encoder
from minilm_jax import SentenceEncoder, embed
from minilm_jax.config import AttentionImplementation, Precision
from minilm_jax.nn.params import Params
from minilm_jax.runtime.devices import describe_devices
from minilm_jax.tokens.batch_plan import BatchPlanner
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.packed_rows import PackedBatch, pack


class Variant(NamedTuple):
    """A way to compute the same vectors on a device.

    Attributes:
        arrange: Maps texts and a token budget to batches, each with the text of every vector or -1, int[B] or [B, S].
        attention: Implementation of attention.
    """

    arrange: Callable[[RaggedIds, int], Iterable[tuple[Any, NDArray[np.intp]]]]
    attention: AttentionImplementation


def _packed(tokens: RaggedIds, budget: int) -> Iterator[tuple[PackedBatch, NDArray[np.intp]]]:
    """Arrange texts as `SentenceEncoder` does on this device, with up to `budget` tokens per batch."""
    rules = dataclasses.replace(describe_devices().shapes, call_tokens=(budget,))
    for texts, row_length in BatchPlanner(rules).plan(tokens.lengths, int(tokens.lengths.max())):
        yield pack(tokens, texts, row_length), texts


VARIANTS: Mapping[str, Variant] = {
    "packed rows": Variant(_packed, "xla"),
    "packed rows, cuDNN attention": Variant(_packed, "cudnn"),
    "padded rows": Variant(padded, "xla"),
    "padded rows, cuDNN attention": Variant(padded, "cudnn"),
}


class OursOnDevice(Ours):
    """A `SentenceEncoder` as a `DeviceModel`."""

    def __init__(self, encoder: SentenceEncoder, variant: Variant) -> None:
        """Keep the encoder; nothing is compiled yet.

        Args:
            encoder: The encoder.
            variant: How `run` computes.
        """
        super().__init__(encoder)
        self._variant = variant
        self._placed: list[tuple[Any, NDArray[np.intp]]] = []

    def place(self, tokens: RaggedIds, budget: int) -> Vectors:
        """Put batches on the device and compile; return their vectors, float32[n, D]."""
        config = dataclasses.replace(self._encoder.config, attention_implementation=self._variant.attention)
        self._program = jax.jit(functools.partial(embed, config=config))
        self._placed = [(jax.device_put(batch), texts) for batch, texts in self._variant.arrange(tokens, budget)]
        vectors = np.empty((len(tokens.lengths), config.embedding_size), np.float32)
        for found, (_, texts) in zip(self._run(), self._placed, strict=True):
            vectors[texts[texts >= 0]] = np.asarray(found)[texts >= 0]
        return vectors

    def run(self) -> None:
        """Compute the vectors of all placed batches and wait for them."""
        jax.block_until_ready(self._run())

    def _run(self) -> list[Array]:
        return [self._program(self._params, batch) for batch, _ in self._placed]

    @functools.cached_property
    def _params(self) -> Params:
        return jax.device_put(self._encoder.params)

    def multiply(self, rows: int, inner: int, columns: int, calls: int) -> float:
        """Return the mean seconds of a product of bfloat16[rows, inner] and bfloat16[inner, columns]."""
        shapes = ((rows, inner), (inner, columns))
        left, right = (jax.random.normal(jax.random.key(0), shape, jnp.bfloat16) for shape in shapes)
        product = jax.jit(jnp.matmul)
        jax.block_until_ready(product(left, right))
        start = time.perf_counter()
        jax.block_until_ready([product(left, right) for _ in range(calls)][-1])
        return (time.perf_counter() - start) / calls

    def facts(self) -> Mapping[str, str]:
        """Return the device, and the precision of float32 products."""
        device = jax.devices()[0]
        chosen = jax.config.jax_default_matmul_precision or "TF32 on a GPU"  # pyright: ignore[reportAttributeAccessIssue]
        return {
            "device": f"{device.device_kind} ({device.platform})",
            "float32 products, jax": f"{chosen} by default; `embed` requests float32",
        }


def load(folder: Path, precision: Precision, variant: str) -> OursOnDevice:
    """Load the encoder from a model folder."""
    return OursOnDevice(encoder(folder, precision), VARIANTS[variant])
