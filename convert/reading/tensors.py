"""Check single ONNX tensors and convert them to numpy arrays."""

import math
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from minilm_jax.errors import ConversionError

TYPED_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_BITS = {
    onnx.TensorProto.DataType.Value(name): bits
    for bits, names in {
        2: "INT2 UINT2",
        4: "INT4 UINT4",
        8: "INT8 UINT8 BOOL",
        16: "FLOAT16 BFLOAT16 INT16 UINT16",
        32: "FLOAT INT32 UINT32",
        64: "DOUBLE INT64 UINT64",
    }.items()
    for name in names.split()
    if name in onnx.TensorProto.DataType.keys()  # Older releases of onnx lack the 2-bit types.
}
_MAX_RANK = 8


def named_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the tensors of a graph, both initializers and attributes, with their names in the graph."""
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield (node.output[0] if node.output else ""), attribute.t


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Return an iterator over the tensors of a graph."""
    return (tensor for _, tensor in named_tensors(model))


def size_in_bytes(tensor: onnx.TensorProto) -> int:
    """Return the size of a tensor in bytes, from its shape and type.

    Args:
        tensor: Any tensor.

    Returns:
        The number of bytes; the data itself is not checked.

    Raises:
        ConversionError: The shape or the type is invalid.
    """
    name = tensor.name[:200]
    if any(size < 0 for size in tensor.dims):
        raise ConversionError(f"tensor {name!r} has a negative size: {list(tensor.dims)[:_MAX_RANK]}.")
    if len(tensor.dims) > _MAX_RANK:
        raise ConversionError(f"tensor {name!r} has {len(tensor.dims)} axes; at most {_MAX_RANK} are supported.")
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise ConversionError(f"tensor {name!r} has the ONNX type {tensor.data_type}, which is not supported.")
    return -(-math.prod(tensor.dims) * bits // 8)


def check_tensor(tensor: onnx.TensorProto) -> None:
    """Raise ConversionError if the type, the shape or the data of a tensor is invalid."""
    size_in_bytes(tensor)
    # The data must be in raw_data or in the field for its type, and in no other field.
    counts = {field: len(getattr(tensor, field)) for field in TYPED_FIELDS}
    typed = counts.pop(helper.tensor_dtype_to_field(tensor.data_type))
    if any(counts.values()) or typed != (0 if tensor.HasField("raw_data") else _typed_size(tensor)):
        raise _wrong_size(tensor)


def to_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """Return a checked tensor as an array; raises ConversionError if its data does not match its shape."""
    if not tensor.HasField("raw_data"):
        return numpy_helper.to_array(tensor)
    raw = tensor.raw_data
    if len(raw) != size_in_bytes(tensor):
        raise _wrong_size(tensor)
    if _is_sub_byte(tensor):
        return numpy_helper.to_array(tensor)
    # This gives the same array as numpy_helper, without its extra copy of the bytes.
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tuple(tensor.dims))


def _wrong_size(tensor: onnx.TensorProto) -> ConversionError:
    return ConversionError(f"the data of tensor {tensor.name[:200]!r} does not match its shape {list(tensor.dims)}.")


def _is_sub_byte(tensor: onnx.TensorProto) -> bool:
    return _BITS[tensor.data_type] < 8


def _typed_size(tensor: onnx.TensorProto) -> int:
    # Values of fewer than 8 bits are stored in the typed fields as whole bytes.
    return size_in_bytes(tensor) if _is_sub_byte(tensor) else math.prod(tensor.dims)
