"""The tensors that outputs of a graph are compared with, and what an output is that equals none of them."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from convert.recognition.bert_layout import BertLayout, EncoderTensor
from minilm_jax.config import PoolingMode
from minilm_jax.nn.classification import logits
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.params import Params
from minilm_jax.nn.pooling import l2_normalize, pool
from minilm_jax.nn.sparse import token_logits
from minilm_jax.tokens.batching import Batch

Array = NDArray[Any]

# Several poolings can give the same vector, such as "mean" and "mean_sqrt_len" after normalization. The first of those
# that fit nearly as well as the best one is chosen.
_AS_GOOD, _NEARLY = 2.0, 1e-6
_SAME_DIRECTION = 0.999
_MAX_PARTS = 6


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The meaning of an output that holds one vector per text.

    Attributes:
        pooling: How the vectors of the tokens are combined, as in `EncoderConfig`.
        normalize: Whether the result is scaled to unit length.
    """

    pooling: str
    normalize: bool

    def __str__(self) -> str:
        return f"{self.pooling} pooling{', unit length' * self.normalize}"


Meaning = EncoderTensor | Pooled


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The differences between an output of the graph and the same tensor of the encoder.

    Attributes:
        meaning: The tensor of the encoder.
        largest_difference: The largest absolute difference of any value.
        cosine: The mean cosine between the vectors of the graph and those of the encoder.
        smallest_cosine: The smallest of these cosines.
    """

    meaning: Meaning
    largest_difference: float
    cosine: float
    smallest_cosine: float


@dataclasses.dataclass(frozen=True)
class OtherOutput:
    """An output of the graph that the encoder does not compute.

    Attributes:
        shape: Its shape, such as "[B, 256]" for one vector per text.
        meaning: What it is, such as "it is the first 256 values of mean pooling".
    """

    shape: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.shape}: {self.meaning}"


class Encoded:
    """The tensors of the encoder for one batch."""

    def __init__(self, params: Params, batch: Batch, layout: BertLayout) -> None:
        """Run the encoder."""
        self.batch = batch
        self.is_text = np.asarray(batch.attention_mask) != 0
        output = jax.jit(encode, static_argnames="output_hidden_states")(
            params, batch, layout.config, output_hidden_states=True
        )
        self.states = [np.asarray(state) for state in output.hidden_states or ()]
        named = {"last_hidden_state": output.last_hidden_state, "pooler_output": output.pooler_output}
        named["logits"] = _logits(params, output.last_hidden_state, batch, layout)
        self.tensors = {name: np.asarray(array) for name, array in named.items() if array is not None}

    @functools.cached_property
    def pooled(self) -> Mapping[PoolingMode, Array]:
        """The vectors of the texts by pooling."""
        hidden, mask = jnp.asarray(self.states[-1]), jnp.asarray(self.is_text)
        return {mode: np.asarray(pool(hidden, mask, mode)) for mode in get_args(PoolingMode)}

    def tensor(self, meaning: Meaning) -> Array:
        """Return a tensor of the encoder."""
        if not isinstance(meaning, Pooled):
            return self.tensors[meaning]
        modes = [mode for part in meaning.pooling.split("+") for mode in get_args(PoolingMode) if mode == part]
        vectors = np.concatenate([self.pooled[mode] for mode in modes], axis=-1)
        return np.asarray(l2_normalize(jnp.asarray(vectors))) if meaning.normalize else vectors

    def nearest(self, result: Array) -> Agreement | None:
        """Return the agreement of an output with one vector per text with the tensor that it is nearest to."""
        if result.ndim != 2 or result.dtype.kind != "f":
            return None
        candidates: list[Meaning] = [*self._poolings(result)]
        if "pooler_output" in self.tensors:
            candidates.append("pooler_output")
        found = [one for meaning in candidates if (one := self.agreement(result, meaning)) is not None]
        best = min((one.largest_difference for one in found), default=0.0)
        return next((one for one in found if not one.largest_difference > _AS_GOOD * best + _NEARLY), None)

    def agreement(self, result: Array, meaning: Meaning) -> Agreement | None:
        """Compare an output with a tensor; None if their shapes differ."""
        own = self.tensor(meaning)
        if own.shape != result.shape:
            return None
        by_label = meaning == "logits" and own.ndim == 2
        own, result = self._of_texts(own), self._of_texts(result.astype(np.float32))
        if by_label:
            # A text may have a single label, so the logits of each label are compared over the texts.
            own, result = own.T, result.T
        lengths = np.linalg.norm(own, axis=-1) * np.linalg.norm(result, axis=-1)
        cosines = np.sum(own * result, axis=-1) / lengths
        return Agreement(meaning, float(np.max(np.abs(own - result))), float(cosines.mean()), float(cosines.min()))

    def scale(self, meaning: Meaning | None) -> float:
        """Return the largest of the logits, or 1 for other tensors, which have values of about 1."""
        return max(1.0, float(np.abs(self._of_texts(self.tensor(meaning))).max())) if meaning == "logits" else 1.0

    def description(self, result: Array, inputs: Mapping[str, Array], tolerance: float) -> str:
        """Say what an output is that is none of `tensors` and poolings.

        Args:
            result: The output.
            inputs: The inputs of the graph.
            tolerance: The largest difference from a tensor that counts as equal.

        Returns:
            A sentence, such as "it is the first 256 values of mean pooling", or that its meaning is unknown.
        """

        def equal(own: Array) -> bool:
            return own.shape == result.shape and bool(
                np.max(np.abs(self._of_texts(own) - self._of_texts(result)), initial=0) <= tolerance
            )

        known = itertools.chain(self._states(result), self._slices(result), self._others())
        copies = ((f"the input {name!r}", array) for name, array in inputs.items())
        found = (f"it is {text}" for text, own in itertools.chain(known, copies) if equal(own))
        return next(found, "its meaning is unknown")

    def shape_of(self, result: Array) -> str:
        """Return the shape of an output, with B for the texts and T for the tokens."""
        letters = ("B", "T") if result.shape[:2] == self.is_text.shape else ("B",)
        return f"[{', '.join([*letters[: result.ndim], *map(str, result.shape[len(letters) :])])}]"

    def _poolings(self, result: Array) -> Iterator[Pooled]:
        """Yield the poolings, and their concatenations, whose parts have the directions of those of an output."""
        count, rest = divmod(result.shape[1], self.states[-1].shape[-1])
        if rest or not 0 < count <= _MAX_PARTS:
            return
        modes = [[mode for mode in self.pooled if _parallel(part, self.pooled[mode])] for part in _parts(result, count)]
        if count == 1 and not modes[0]:
            modes = [[*self.pooled]]
        for chosen in itertools.product(*modes):
            for normalize in (False, True):
                yield Pooled("+".join(chosen), normalize)

    def _states(self, result: Array) -> Iterator[tuple[str, Array]]:
        if result.ndim == 4 and len(result) in (len(self.states), len(self.states) - 1):
            yield "the hidden states of all layers", np.stack(self.states[-len(result) :])
        for index, state in enumerate(self.states[:-1]):
            yield f"the hidden state after layer {index}" if index else "the output of the embeddings", state

    def _slices(self, result: Array) -> Iterator[tuple[str, Array]]:
        if result.ndim != 2 or not result.shape[1]:
            return
        meanings: list[Meaning] = [Pooled(mode, normalize) for mode in self.pooled for normalize in (False, True)]
        if "pooler_output" in self.tensors:
            meanings.append("pooler_output")
        for meaning in meanings:
            own, width = self.tensor(meaning), result.shape[1]
            if width < own.shape[1]:
                yield f"the first {width} values of {meaning}", own[:, :width]
                yield f"the first {width} values of {meaning}, scaled to unit length", _unit(own[:, :width])

    def _others(self) -> Iterator[tuple[str, Array]]:
        if "pooler_output" in self.tensors:
            yield "pooler_output, scaled to unit length", _unit(self.tensors["pooler_output"])
        yield "last_hidden_state, each token scaled to unit length", _unit(self.states[-1])

    def _of_texts(self, array: Array) -> Array:
        # Values at padding are undefined and may differ.
        if array.ndim == 3 and array.shape[:2] == self.is_text.shape:
            return array[self.is_text]
        if array.ndim == 4 and array.shape[1:3] == self.is_text.shape:
            return array[:, self.is_text]
        return array


def _logits(params: Params, hidden_state: jax.Array, batch: Batch, layout: BertLayout) -> jax.Array | None:
    """Return the logits of a classifier [B, L] or of a language model [B, T, V], or None without a head."""
    if layout.config.classifier is not None:
        return jax.jit(logits, static_argnames="config")(params, hidden_state, batch, layout.config)
    if layout.config.sparse_head is None:
        return None
    if layout.decoder is not None:
        params = {**params, "embeddings": {"word_embeddings": {"embedding": layout.decoder.weight.T}}}
    return jax.jit(token_logits, static_argnames="config")(params, hidden_state, layout.config)


def _parts(result: Array, count: int) -> list[Array]:
    return np.split(result.astype(np.float32), count, axis=1)


def _parallel(first: Array, second: Array) -> bool:
    return bool(first.shape == second.shape and (np.sum(_unit(first) * _unit(second), axis=-1) > _SAME_DIRECTION).all())


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
