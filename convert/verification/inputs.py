"""Make the inputs on which a graph and the converted encoder are compared."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.graph.graph import input_names
from convert.recognition.bert_layout import BertLayout
from minilm_jax.errors import ConversionError
from minilm_jax.tokens.batching import Batch

_INPUT_TYPES = tuple(map(onnx.TensorProto.DataType.Value, ("INT32", "INT64", "FLOAT", "FLOAT16", "BFLOAT16", "BOOL")))
_MAX_TOKENS = 2**16
# An input that selects no table rows is recognized by one of these parts of its name.
_MEANING_OF_NAME: Mapping[str, str] = {
    "mask": "attention_mask",
    "type": "token_type_ids",
    "segment": "token_type_ids",
    "position": "position_ids",
}


def random_batch(model: onnx.ModelProto, layout: BertLayout) -> Batch:
    """Return a batch of random ids with texts of several lengths, in the shape that the graph accepts."""
    config, meanings = layout.config, _meanings(model, layout).values()
    fixed = _fixed_sizes(model)
    rows, longest = fixed.get(0) or 4, fixed.get(1) or min(24, config.max_position_embeddings)
    lengths = np.maximum(1, np.linspace(1, longest, rows).astype(int))
    lengths[-1] = longest
    random = np.random.default_rng(0)
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    if "attention_mask" not in meanings:
        mask[:] = 1
    input_ids = random.integers(config.vocab_size, size=mask.shape) * mask
    # A graph without this input uses token type 0.
    token_type_ids = random.integers(config.type_vocab_size, size=mask.shape) * ("token_type_ids" in meanings)
    return Batch(input_ids, mask, token_type_ids)


def graph_inputs(model: onnx.ModelProto, batch: Batch, layout: BertLayout) -> dict[str, NDArray[Any]]:
    """Return the arrays of a batch by the names and in the types that the graph expects."""
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    for name in input_names(model):
        if types[name] not in _INPUT_TYPES:
            raise ConversionError(
                f"the input {name[:80]!r} has the ONNX type {types[name]}; ids and masks must be integers, floats or"
                " booleans."
            )
    positions = np.broadcast_to(np.arange(batch.input_ids.shape[1]), batch.input_ids.shape)
    arrays = {**batch._asdict(), "position_ids": positions}
    return {
        name: np.asarray(arrays[meaning]).astype(helper.tensor_dtype_to_np_dtype(types[name]))
        for name, meaning in _meanings(model, layout).items()
    }


def _fixed_sizes(model: onnx.ModelProto) -> dict[int, int]:
    """Return the sizes of the first input by axis, with 0 for an axis whose size is dynamic."""
    name = input_names(model)[0]
    value = next(value for value in model.graph.input if value.name == name)
    sizes = {axis: max(0, size.dim_value) for axis, size in enumerate(value.type.tensor_type.shape.dim)}
    if math.prod(size or 1 for size in sizes.values()) > _MAX_TOKENS:
        raise ConversionError(
            f"the input {name[:80]!r} has the fixed shape {list(sizes.values())[:4]}, which is too large to run."
        )
    return sizes


def _meanings(model: onnx.ModelProto, layout: BertLayout) -> dict[str, str]:
    """Return the meaning of each input: a field of `Batch`, or "position_ids".

    Inputs that select table rows are known from the layout. A single other input is the mask; if there are several,
    their names decide.
    """
    names = input_names(model)
    others = [name for name in names if name not in layout.inputs]
    meanings = {name: layout.inputs.get(name) or _meaning_of_name(name) for name in names}
    if len(others) == 1:
        meanings[others[0]] = meanings[others[0]] or "attention_mask"
    for name, meaning in meanings.items():
        if not meaning:
            raise ConversionError(
                f"the graph has an input {name!r}, which is not one of input_ids, attention_mask, token_type_ids,"
                " position_ids."
            )
    return meanings


def _meaning_of_name(name: str) -> str:
    return next((meaning for part, meaning in _MEANING_OF_NAME.items() if part in name), "")
