"""Verify a conversion: compare the outputs of the ONNX graph and of the converted encoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import jax
import numpy as np
import onnx
from numpy.typing import NDArray

from convert.recognition.bert_layout import BertLayout, EncoderTensor
from convert.verification.exact_form import exact_form, narrowest_float
from convert.verification.graph_process import run_graph
from convert.verification.inputs import graph_inputs, random_batch
from minilm_jax.config import PoolingMode
from minilm_jax.errors import ConversionError
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.params import Params
from minilm_jax.nn.pooling import l2_normalize, pool
from minilm_jax.tokens.batching import Batch

# Two float32 runtimes differ by 2e-6 on this model, wrong weights by 1e-1 and more. In half precision the constants of
# the graph, such as √2 in GELU, have a relative error of 2^-11 (float16) or 2^-8 (bfloat16).
TOLERANCES = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The meaning of an output that holds one vector per text.

    Attributes:
        pooling: How the vectors of the tokens are combined.
        normalize: Whether the result is scaled to unit length.
    """

    pooling: PoolingMode
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
class Verification:
    """The result of a successful verification.

    Attributes:
        outputs: The agreement of each graph output whose meaning is known.
        tolerance: The largest difference that is accepted.
        as_stored: The same agreements for a graph that rounds activations, with its roundings; empty if it does not
            round or cannot run on this machine.
        runtime: The runtime that ran the graph.
    """

    outputs: Mapping[str, Agreement]
    tolerance: float
    as_stored: Mapping[str, Agreement]
    runtime: str


def verify(model: onnx.ModelProto, layout: BertLayout, params: Params, *, runtime: str) -> Verification:
    """Compare the outputs of the graph and of the encoder on a batch of random ids with several lengths.

    Args:
        model: The ONNX model.
        layout: The encoder recognized in it.
        params: The converted parameters.
        runtime: The runtime for the graph, see `convert.verification.graph_process`.

    Returns:
        The agreement of the outputs.

    Raises:
        ConversionError: The graph does not run, or its outputs differ from those of the encoder.
    """
    encoded = _Encoded(params, random_batch(model, layout), layout)
    exact, tolerance = exact_form(model), TOLERANCES[narrowest_float(model)]
    outputs = encoded.compared_with(exact, runtime)
    if not outputs:
        raise ConversionError(
            f"none of the outputs {list(layout.outputs)} is an output of BERT, so the conversion cannot be verified."
        )
    for name, agreement in outputs.items():
        if not agreement.largest_difference <= tolerance:
            raise ConversionError(
                f"output {name!r} of the converted encoder differs from the graph's by"
                f" {agreement.largest_difference:.1e} (allowed: {tolerance:.0e}); nothing was written. The file"
                " computes something that BERT does not."
            )
    as_stored = {} if exact is model else _compared_if_runnable(encoded, model, runtime)
    return Verification(outputs, tolerance, as_stored, runtime)


def compare(model: onnx.ModelProto, layout: BertLayout, params: Params, *, runtime: str) -> dict[str, Agreement]:
    """Compare the outputs of a graph, including its roundings, with those of params that match its layout."""
    return _Encoded(params, random_batch(model, layout), layout).compared_with(model, runtime)


def _compared_if_runnable(encoded: "_Encoded", model: onnx.ModelProto, runtime: str) -> dict[str, Agreement]:
    # onnxruntime lacks CPU kernels for many float16 operators and for all bfloat16 operators.
    try:
        return encoded.compared_with(model, runtime)
    except ConversionError:
        return {}


class _Encoded:
    """The tensors of the encoder, for one batch, that outputs of the graph are compared with."""

    def __init__(self, params: Params, batch: Batch, layout: BertLayout) -> None:
        self.batch = batch
        self.layout = layout
        encoded = jax.jit(encode)(params, batch, layout.config)
        self.tensors: dict[Meaning, Array] = {}
        for name in get_args(EncoderTensor):
            if (array := getattr(encoded, name)) is not None:
                self.tensors[name] = np.asarray(array)
        for pooling in get_args(PoolingMode):
            pooled = pool(encoded.last_hidden_state, jax.numpy.asarray(batch.attention_mask) != 0, pooling)
            self.tensors[Pooled(pooling, normalize=False)] = np.asarray(pooled)
            if pooling != "mean_sqrt_len":  # At unit length, it equals the mean.
                self.tensors[Pooled(pooling, normalize=True)] = np.asarray(l2_normalize(pooled))

    def compared_with(self, model: onnx.ModelProto, runtime: str) -> dict[str, Agreement]:
        results = run_graph(model, graph_inputs(model, self.batch, self.layout), runtime=runtime)
        pairs = zip(self.layout.outputs.items(), results, strict=True)
        return {
            name: nearest
            for (name, meaning), result in pairs
            if (nearest := self.nearest(result, [*self.tensors] if meaning is None else [meaning])) is not None
        }

    def nearest(self, result: Array, meanings: list[Meaning]) -> Agreement | None:
        vectors = result.ndim == 2 or meanings == ["last_hidden_state"]
        candidates: list[Meaning] = [m for m in meanings if vectors and self.tensors[m].shape == result.shape]
        compared = (self.agreement(result.astype(np.float32), candidate) for candidate in candidates)
        return min(compared, key=lambda agreement: agreement.largest_difference, default=None)

    def agreement(self, result: Array, meaning: Meaning) -> Agreement:
        own = self.tensors[meaning]
        if own.ndim == 3:  # Values at padding are undefined and may differ.
            own, result = own[self.batch.attention_mask != 0], result[self.batch.attention_mask != 0]
        lengths = np.linalg.norm(own, axis=-1) * np.linalg.norm(result, axis=-1)
        cosines = np.sum(own * result, axis=-1) / lengths
        return Agreement(meaning, float(np.max(np.abs(own - result))), float(cosines.mean()), float(cosines.min()))
