"""Single ONNX tensors: whether they hold what they say, and their numbers."""

import math
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from minilm_jax.errors import ConversionError

TYPED_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
# Two or four numbers to a byte.
_BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
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
    if tensor.data_type == onnx.TensorProto.STRING or tensor.data_type not in onnx.TensorProto.DataType.values():
        raise ConversionError(f"tensor {name!r} holds no numbers (ONNX type {tensor.data_type}).")
    type_name = onnx.TensorProto.DataType.Name(tensor.data_type)
    try:
        bits = _BITS.get(type_name) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        raise ConversionError(f"tensor {name!r} has the unsupported type {type_name}.") from None
    return -(-math.prod(tensor.dims) * bits // 8)


def check_tensor(tensor: onnx.TensorProto) -> None:
    """Raises ConversionError unless a tensor holds as many numbers as its shape says."""
    wanted = size_in_bytes(tensor)
    # The numbers stand in raw_data or in the field of their type, and nowhere else.
    own = helper.tensor_dtype_to_field(tensor.data_type)
    counts = {field: len(getattr(tensor, field)) for field in TYPED_FIELDS}
    typed = counts.pop(own)
    holds = not typed and len(tensor.raw_data) == wanted if tensor.HasField("raw_data") else typed == _numbers(tensor)
    if not holds or any(counts.values()):
        raise ConversionError(
            f"tensor {tensor.name[:200]!r} says {list(tensor.dims)} but does not hold so many numbers."
        )


def to_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """Returns the numbers of a checked tensor."""
    return numpy_helper.to_array(tensor)


def _numbers(tensor: onnx.TensorProto) -> int:
    packed = _BITS.get(onnx.TensorProto.DataType.Name(tensor.data_type), 8) < 8
    # The typed fields hold packed numbers byte by byte.
    return size_in_bytes(tensor) if packed else math.prod(tensor.dims)
