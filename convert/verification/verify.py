"""Proof of a conversion: the ONNX graph and the converted encoder on the same inputs."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, get_args

import jax
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.graph.exact_form import exact_form, precision
from convert.graph.graph import input_names
from convert.recognition.bert_layout import BertLayout
from convert.verification.graph_process import run_graph
from minilm_jax.config import Pooling
from minilm_jax.errors import ConversionError
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.params import Params
from minilm_jax.nn.pooling import l2_normalize, pool
from minilm_jax.tokens.batching import Batch

# Two float32 runtimes differ by 2e-6 on this model, wrong weights by 1e-1 and more. In half precision the graph's own
# constants, such as √2 in GELU, are off by 2^-11 or 2^-8 of their size.
TOLERANCES = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}
_INPUT_TYPES = tuple(map(onnx.TensorProto.DataType.Value, ("INT32", "INT64", "FLOAT", "FLOAT16", "BFLOAT16", "BOOL")))
_MOST_TOKENS = 2**16
UNIT_LENGTH = ", unit length"

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an output of the graph and the encoder's compare.

    Attributes:
        meaning: What the output is: last_hidden_state, pooler_output, or a pooled vector.
        largest_difference: Of any number.
        cosine: Between the graph's vectors and ours, the mean over them.
        smallest_cosine: The smallest of them.
    """

    meaning: str
    largest_difference: float
    cosine: float
    smallest_cosine: float


@dataclasses.dataclass(frozen=True)
class Proof:
    """The evidence for a conversion.

    Attributes:
        outputs: Of each output of the graph that is understood.
        tolerance: How large a difference would have been accepted.
        as_stored: The same for the graph with its own roundings, where it has any and this machine can run it: what
            they cost.
        runtime: What ran the graph.
    """

    outputs: Mapping[str, Agreement]
    tolerance: float
    as_stored: Mapping[str, Agreement]
    runtime: str


def prove(model: onnx.ModelProto, layout: BertLayout, params: Params, *, runtime: str) -> Proof:
    """Compares the graph's outputs with the encoder's on a batch of random ids of several lengths.

    Args:
        model: The ONNX model.
        layout: What was recognised in it.
        params: The converted parameters.
        runtime: What to run the graph with, see `convert.verification.graph_process`.

    Returns:
        The evidence.

    Raises:
        ConversionError: The graph does not run, or computes something else.
    """
    ours = _Ours(params, _batch(model, layout), layout)
    exact, tolerance = exact_form(model), TOLERANCES[precision(model)]
    outputs = ours.compared_with(exact, runtime)
    if not outputs:
        raise ConversionError(f"none of the outputs {list(layout.outputs)} is one of BERT's; nothing could be proved.")
    for name, agreement in outputs.items():
        if not agreement.largest_difference <= tolerance:
            raise ConversionError(
                f"output {name!r} of the converted encoder differs from the graph's by"
                f" {agreement.largest_difference:.1e} (allowed: {tolerance:.0e}); nothing was written. The file"
                " computes something that BERT does not."
            )
    return Proof(outputs, tolerance, {} if exact is model else _if_it_runs(ours, model, runtime), runtime)


def agreement(model: onnx.ModelProto, layout: BertLayout, params: Params, *, runtime: str) -> dict[str, Agreement]:
    """Returns how the outputs of a graph, with its own roundings, agree with any params that fit its layout."""
    return _Ours(params, _batch(model, layout), layout).compared_with(model, runtime)


def _if_it_runs(ours: "_Ours", model: onnx.ModelProto, runtime: str) -> dict[str, Agreement]:
    # CPUs have no kernels for many operators in float16, and for none in bfloat16.
    try:
        return ours.compared_with(model, runtime)
    except ConversionError:
        return {}


class _Ours:
    """What the converted encoder computes, under every meaning that an output of a graph may have."""

    def __init__(self, params: Params, batch: Batch, layout: BertLayout) -> None:
        self.batch = batch
        self.layout = layout
        encoded = jax.jit(encode)(params, batch, layout.config)
        self.by_meaning = {name: np.asarray(array) for name, array in encoded._asdict().items() if array is not None}
        for pooling in get_args(Pooling):
            pooled = pool(encoded.last_hidden_state, jax.numpy.asarray(batch.attention_mask) != 0, pooling)
            self.by_meaning[f"{pooling} pooling"] = np.asarray(pooled)
            self.by_meaning[f"{pooling} pooling{UNIT_LENGTH}"] = np.asarray(l2_normalize(pooled))

    def compared_with(self, model: onnx.ModelProto, runtime: str) -> dict[str, Agreement]:
        results = run_graph(model, _feeds(model, self.batch, self.layout), runtime=runtime)
        pairs = zip(self.layout.outputs.items(), results, strict=True)
        return {
            name: nearest
            for (name, meaning), result in pairs
            if (nearest := self.nearest(result, [meaning] if meaning else [*self.by_meaning])) is not None
        }

    def nearest(self, result: Array, meanings: list[str]) -> Agreement | None:
        vectors = result.ndim == 2 or meanings == ["last_hidden_state"]
        fitting = [m for m in meanings if vectors and self.by_meaning[m].shape == result.shape]
        compared = (self.agreement_of(result.astype(np.float32), meaning) for meaning in fitting)
        return min(compared, key=lambda agreement: agreement.largest_difference, default=None)

    def agreement_of(self, result: Array, meaning: str) -> Agreement:
        own = self.by_meaning[meaning]
        if own.ndim == 3:  # What stands at padding means nothing, and need not agree.
            own, result = own[self.batch.attention_mask != 0], result[self.batch.attention_mask != 0]
        lengths = np.linalg.norm(own, axis=-1) * np.linalg.norm(result, axis=-1)
        cosines = np.sum(own * result, axis=-1) / lengths
        return Agreement(meaning, float(np.max(np.abs(own - result))), float(cosines.mean()), float(cosines.min()))


def _batch(model: onnx.ModelProto, layout: BertLayout) -> Batch:
    config, meanings = layout.config, _meanings(model, layout).values()
    fixed = _static_shape(model)
    rows, longest = fixed.get(0) or 4, fixed.get(1) or min(24, config.max_position_embeddings)
    lengths = np.maximum(1, np.linspace(1, longest, rows).astype(int))
    lengths[-1] = longest
    random = np.random.default_rng(0)
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    if "attention_mask" not in meanings:
        mask[:] = 1
    input_ids = random.integers(config.vocab_size, size=mask.shape) * mask
    # A graph without that input computes token type 0.
    token_type_ids = random.integers(config.type_vocab_size, size=mask.shape) * ("token_type_ids" in meanings)
    return Batch(input_ids, mask, token_type_ids)


def _static_shape(model: onnx.ModelProto) -> dict[int, int]:
    """Returns the sizes that the graph's first input fixes, by their axis; 0 for one that is free."""
    name = input_names(model)[0]
    value = next(value for value in model.graph.input if value.name == name)
    sizes = {axis: max(0, size.dim_value) for axis, size in enumerate(value.type.tensor_type.shape.dim)}
    if math.prod(size or 1 for size in sizes.values()) > _MOST_TOKENS:
        raise ConversionError(
            f"the input {name[:80]!r} has the fixed shape {list(sizes.values())[:4]}, too large to run."
        )
    return sizes


def _feeds(model: onnx.ModelProto, batch: Batch, layout: BertLayout) -> dict[str, Array]:
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    for name in input_names(model):
        if types[name] not in _INPUT_TYPES:
            raise ConversionError(
                f"the input {name[:80]!r} has the type {types[name]}; ids and masks are whole numbers."
            )
    arrays = {
        **batch._asdict(),
        "position_ids": np.broadcast_to(np.arange(batch.input_ids.shape[1]), batch.input_ids.shape),
    }
    return {
        name: np.asarray(arrays[meaning]).astype(helper.tensor_dtype_to_np_dtype(types[name]))
        for name, meaning in _meanings(model, layout).items()
    }


def _meanings(model: onnx.ModelProto, layout: BertLayout) -> dict[str, str]:
    """Returns what every input is: the mask is the one that no rows are looked up by; names help with unused ones."""
    names = input_names(model)
    others = [name for name in names if name not in layout.inputs]
    by_name = {
        "mask": "attention_mask",
        "type": "token_type_ids",
        "segment": "token_type_ids",
        "position": "position_ids",
    }
    meanings = {name: layout.inputs.get(name) or _first(by_name, name) for name in names}
    if len(others) == 1:
        meanings[others[0]] = meanings[others[0]] or "attention_mask"
    for name, meaning in meanings.items():
        if not meaning:
            raise ConversionError(
                f"the graph has an input {name!r}, which is none of input_ids, attention_mask, token_type_ids,"
                " position_ids."
            )
    return meanings


def _first(meanings: Mapping[str, str], name: str) -> str:
    return next((meaning for part, meaning in meanings.items() if part in name), "")
