"""Make the inputs on which a graph and the converted encoder are compared."""

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.recognition.bert_layout import BertLayout
from convert.verification.input_meanings import meanings_of_inputs
from minilm_jax.errors import ConversionError
from minilm_jax.tokens.batching import Batch

_INPUT_TYPES = tuple(map(onnx.TensorProto.DataType.Value, ("INT32", "INT64", "FLOAT", "FLOAT16", "BFLOAT16", "BOOL")))
_MAX_TOKENS = 2**16
_ROWS, _TOKENS = 4, 24
# A mask that is added to the scores has this value at padding; float16 can represent it.
_MASKED = -1e4

Array = NDArray[Any]


def random_batch(model: onnx.ModelProto, layout: BertLayout) -> Batch:
    """Return a batch of random ids with texts of several lengths, in the shape that the graph accepts."""
    config, meanings = layout.config, meanings_of_inputs(model, layout)
    rows, longest = _fixed_sizes(model, layout)
    mask = _random_mask(rows or _ROWS, longest or min(_TOKENS, config.max_length))
    if "attention_mask" not in meanings.values():
        mask[:] = 1
    input_ids = _random_ids(mask, layout)
    random = np.random.default_rng(1)
    # A graph without this input uses token type 0.
    token_type_ids = random.integers(config.type_vocab_size, size=mask.shape) * ("token_type_ids" in meanings.values())
    return Batch(input_ids, mask, token_type_ids)


def graph_inputs(model: onnx.ModelProto, batch: Batch, layout: BertLayout) -> dict[str, Array]:
    """Return the arrays of a batch by the names and in the types and shapes that the graph expects."""
    values = {value.name: value for value in model.graph.input}
    positions = np.broadcast_to(np.arange(batch.input_ids.shape[1]), batch.input_ids.shape)
    arrays = {**batch._asdict(), "position_ids": positions}
    inputs = {}
    for name, meaning in meanings_of_inputs(model, layout).items():
        array = np.asarray(arrays[meaning])
        if meaning == "attention_mask":
            array = np.where(array != 0, 0, _MASKED) if layout.masks.get(name) else array
            array = _shaped(array, values[name])
        inputs[name] = array.astype(_dtype(values[name]))
    return inputs


def _dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    data_type = value.type.tensor_type.elem_type
    if data_type not in _INPUT_TYPES:
        raise ConversionError(
            f"the input {value.name[:80]!r} has the ONNX type {data_type}; ids and masks must be integers, floats or"
            " booleans."
        )
    return helper.tensor_dtype_to_np_dtype(data_type)


def _random_mask(rows: int, longest: int) -> NDArray[np.int64]:
    lengths = np.maximum(1, np.linspace(1, longest, rows).astype(int))
    # A single text has padding too, so that the effect of the mask is compared.
    lengths[-1] = longest if rows > 1 else max(1, longest * 3 // 4)
    return (np.arange(longest) < lengths[:, None]).astype(np.int64)


def _random_ids(mask: NDArray[np.int64], layout: BertLayout) -> NDArray[np.int64]:
    padding = layout.config.padding_idx
    ids = np.random.default_rng(0).integers(layout.config.vocab_size, size=mask.shape)
    if padding is None:
        return ids * mask
    if layout.counts_padding:
        # Padding ids inside a text show how the graph counts positions.
        ids[:, 2::5] = padding
    else:
        ids = np.where(ids == padding, (padding + 1) % layout.config.vocab_size, ids)
    return np.where(mask != 0, ids, padding)


def _fixed_sizes(model: onnx.ModelProto, layout: BertLayout) -> tuple[int, int]:
    """Return the number of rows and of tokens that the inputs of a graph have, 0 for a dynamic one."""
    rows = tokens = 0
    for name in meanings_of_inputs(model, layout):
        value = next(value for value in model.graph.input if value.name == name)
        sizes = [max(0, size.dim_value) for size in value.type.tensor_type.shape.dim]
        if math.prod(size or 1 for size in sizes) > _MAX_TOKENS:
            raise ConversionError(
                f"the input {name[:80]!r} has the fixed shape {sizes[:4]}, which is too large to run."
            )
        if len(sizes) >= 2:
            rows, tokens = rows or sizes[0], tokens or sizes[-1]
    if rows * tokens > _MAX_TOKENS:
        raise ConversionError(f"its inputs have the fixed shape {[rows, tokens]}, which is too large to run.")
    return rows, tokens


def _shaped(mask: Array, value: onnx.ValueInfoProto) -> Array:
    """Return a mask [B, T] in the shape of an input, such as [B, 1, 1, T] or [B, 1, T, T]."""
    sizes = value.type.tensor_type.shape.dim
    if len(sizes) in (0, 2):
        return mask
    if len(sizes) not in (3, 4):
        raise ConversionError(f"the mask {value.name[:80]!r} has {len(sizes)} axes; it must have from 2 to 4.")
    rows, tokens = mask.shape
    inner = [_inner_size(size, sizes[-1], tokens) for size in list(sizes)[1:-1]]
    return np.broadcast_to(mask.reshape(rows, *(1,) * len(inner), tokens), (rows, *inner, tokens))


def _inner_size(size: onnx.TensorShapeProto.Dimension, last: onnx.TensorShapeProto.Dimension, tokens: int) -> int:
    if size.dim_value > 0:
        return size.dim_value
    return tokens if size.dim_param and size.dim_param == last.dim_param else 1
