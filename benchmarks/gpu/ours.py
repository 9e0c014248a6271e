"""minilm-jax on a device: `embed` over batches that lie there, in several forms, and `SentenceEncoder.encode`."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from benchmarks.gpu.work import padded
from benchmarks.peers import Vectors
from minilm_jax import SentenceEncoder, embed
from minilm_jax.config import AttentionImplementation
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.packed_rows import pack


class Form(NamedTuple):
    """A way to compute the same vectors.

    Attributes:
        lay_out: Texts and a budget to batches, each with int[B] or [B, S], the text of each vector or -1.
        attention: Its implementation.
    """

    lay_out: Callable[[RaggedIds, int], Iterable[tuple[Any, NDArray[np.intp]]]]
    attention: AttentionImplementation


# All that there are; `benchmarks.gpu.contenders` says which of them run.
FORMS: Mapping[str, Form] = {
    "packed rows": Form(pack, "xla"),
    "packed rows, cuDNN attention": Form(pack, "cudnn"),
    "padded rows": Form(padded, "xla"),
    "padded rows, cuDNN attention": Form(padded, "cudnn"),
}


class Ours:
    """An encoder and one form."""

    def __init__(self, encoder: SentenceEncoder, form: Form) -> None:
        """Puts the parameters on the device.

        Args:
            encoder: The encoder.
            form: How `run` computes.
        """
        self._encoder, self._form = encoder, form
        self._params = jax.device_put(encoder.params)
        self._placed: list[tuple[Any, NDArray[np.intp]]] = []

    def place(self, tokens: RaggedIds, budget: int) -> Vectors:
        """Lays texts out on the device and compiles; returns their vectors, float32[n, D]."""
        config = dataclasses.replace(self._encoder.config, attention_implementation=self._form.attention)
        self._program = jax.jit(functools.partial(embed, config=config))
        self._placed = [(jax.device_put(batch), texts) for batch, texts in self._form.lay_out(tokens, budget)]
        vectors = np.empty((len(tokens.lengths), config.hidden_size), np.float32)
        for found, (_, texts) in zip(self._run(), self._placed, strict=True):
            vectors[texts[texts >= 0]] = np.asarray(found)[texts >= 0]
        return vectors

    def run(self) -> None:
        """Computes all that was placed, and waits for it."""
        jax.block_until_ready(self._run())

    def _run(self) -> list[Array]:
        return [self._program(self._params, batch) for batch, _ in self._placed]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embeds texts as a user does, cut at 256 tokens."""
        return self._encoder.encode(texts, show_progress_bar=False)

    def multiply(self, rows: int, width: int, wide: int, calls: int) -> float:
        """Returns the seconds of a product of bfloat16[rows, width] and [width, wide], the mean of some calls."""
        x, kernel = (
            jax.random.normal(jax.random.key(0), shape, jnp.bfloat16) for shape in ((rows, width), (width, wide))
        )
        product = jax.jit(jnp.matmul)
        jax.block_until_ready(product(x, kernel))
        start = time.perf_counter()
        jax.block_until_ready([product(x, kernel) for _ in range(calls)][-1])
        return (time.perf_counter() - start) / calls

    def facts(self) -> Mapping[str, str]:
        """Returns the device, and what float32 products are computed in."""
        device = jax.devices()[0]
        chosen = jax.config.jax_default_matmul_precision or "TF32 on a GPU"  # pyright: ignore[reportAttributeAccessIssue]
        return {
            "device": f"{device.device_kind} ({device.platform})",
            "float32 products, jax": f"{chosen} by default; `embed` asks for float32",
        }


def load(folder: Path, precision: Any, form: str) -> Ours:
    """Loads the encoder from a model folder."""
    warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")  # All cut there; the peers do not say so.
    return Ours(SentenceEncoder.from_pretrained(folder, precision=precision), FORMS[form])
