"""Single ONNX tensors: whether they hold what they say, and their numbers."""

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
    if name in onnx.TensorProto.DataType.keys()  # Older releases of onnx know no types of 2 bits.
}
_LARGEST_RANK = 8


def named_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yields the tensors of a model's graph, initialisers and attributes, by the name that the graph has for them."""
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield (node.output[0] if node.output else ""), attribute.t


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yields the tensors of a model's graph."""
    return (tensor for _, tensor in named_tensors(model))


def size_in_bytes(tensor: onnx.TensorProto) -> int:
    """Returns how many bytes a tensor's numbers take by its shape and type.

    Args:
        tensor: Any tensor.

    Returns:
        The bytes, which need not be there.

    Raises:
        ConversionError: The shape or the type makes no sense.
    """
    name = tensor.name[:200]
    if any(size < 0 for size in tensor.dims):
        raise ConversionError(f"tensor {name!r} has a negative size: {list(tensor.dims)[:_LARGEST_RANK]}.")
    if len(tensor.dims) > _LARGEST_RANK:
        raise ConversionError(f"tensor {name!r} has {len(tensor.dims)} axes; those of an encoder have at most 4.")
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise ConversionError(f"tensor {name!r} holds no numbers that an encoder has (ONNX type {tensor.data_type}).")
    return -(-math.prod(tensor.dims) * bits // 8)


def check_tensor(tensor: onnx.TensorProto) -> None:
    """Raises ConversionError if a tensor's type or shape makes no sense, or its numbers are not where they belong."""
    size_in_bytes(tensor)
    # They stand in raw_data or in the field of their type, and nowhere else.
    counts = {field: len(getattr(tensor, field)) for field in TYPED_FIELDS}
    typed = counts.pop(helper.tensor_dtype_to_field(tensor.data_type))
    if any(counts.values()) or typed != (0 if tensor.HasField("raw_data") else _numbers(tensor)):
        raise _too_few_or_many(tensor)


def to_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """Returns the numbers of a checked tensor; raises ConversionError if they are not as many as its shape says."""
    if not tensor.HasField("raw_data"):
        return numpy_helper.to_array(tensor)
    raw = tensor.raw_data
    if len(raw) != size_in_bytes(tensor):
        raise _too_few_or_many(tensor)
    if _is_packed(tensor):
        return numpy_helper.to_array(tensor)
    # As numpy_helper does, which would copy the bytes once more.
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tuple(tensor.dims))


def _too_few_or_many(tensor: onnx.TensorProto) -> ConversionError:
    return ConversionError(f"tensor {tensor.name[:200]!r} says {list(tensor.dims)} but does not hold so many numbers.")


def _is_packed(tensor: onnx.TensorProto) -> bool:
    return _BITS[tensor.data_type] < 8


def _numbers(tensor: onnx.TensorProto) -> int:
    # The typed fields hold packed numbers byte by byte.
    return size_in_bytes(tensor) if _is_packed(tensor) else math.prod(tensor.dims)
