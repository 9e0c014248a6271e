"""Mutations of tensors, shapes, axes and attributes, so that they contradict each other."""

import math
from random import Random

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from convert.reading.external_data import is_external
from tests.convert.fuzz.graph_mutations import GraphMutation

_INTEGERS = (-(2**63), -(2**31), -7, -2, -1, 0, 1, 2, 5, 64, 2**16, 2**31 - 1, 2**40, 2**62, 2**63 - 1)
_KINDS = (
    AttributeProto.UNDEFINED,
    AttributeProto.INT,
    AttributeProto.INTS,
    AttributeProto.FLOAT,
    AttributeProto.TENSOR,
)
_FLOATS = (float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1e-45, 3e38)


def _tensors(model: onnx.ModelProto) -> list[TensorProto]:
    constants = (a.t for node in model.graph.node for a in node.attribute if a.type == AttributeProto.TENSOR)
    return [*model.graph.initializer, *constants] or [model.graph.initializer.add()]


def _some_tensor(model: onnx.ModelProto, random: Random) -> TensorProto:
    return random.choice(_tensors(model))


def _change_dims(model: onnx.ModelProto, random: Random) -> None:
    dims = _some_tensor(model, random).dims
    if dims:
        dims[random.randrange(len(dims))] = random.choice(_INTEGERS)
    else:
        dims[:] = random.choice([[0], [2**32] * 4, [1] * 100])


def _reshape(model: onnx.ModelProto, random: Random) -> None:
    dims = _some_tensor(model, random).dims
    dims[:] = random.choice([list(dims)[::-1], [*dims, 1], [1, *dims], [math.prod(dims)]])


def _remove_rows(model: onnx.ModelProto, random: Random) -> None:
    """Remove rows of a tensor, so that its data still matches its shape."""
    tensor = _some_tensor(model, random)
    if tensor.dims and tensor.dims[0] > 0:
        rows, wanted = tensor.dims[0], random.choice([0, 1, tensor.dims[0] - 1])
        tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // rows * wanted]
        tensor.dims[0] = wanted


def _change_type(model: onnx.ModelProto, random: Random) -> None:
    _some_tensor(model, random).data_type = random.choice([*range(30), -1, 2**31 - 1])


def _change_size(model: onnx.ModelProto, random: Random) -> None:
    tensor = _some_tensor(model, random)
    tensor.raw_data = random.choice([b"", tensor.raw_data[:-1], tensor.raw_data * 2, tensor.raw_data[::2]])


def _change_field(model: onnx.ModelProto, random: Random) -> None:
    tensor = _some_tensor(model, random)
    field = random.choice(["float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"])
    value = {"float_data": 1.5, "double_data": 1e300, "string_data": b"text"}.get(field, 7)
    if random.random() < 0.5:
        tensor.ClearField("raw_data")
    getattr(tensor, field).extend([value] * random.choice([1, len(tensor.dims), 1000]))


def _change_values(model: onnx.ModelProto, random: Random) -> None:
    """Put an unusual value into a weight, a scale, a shape or a list of axes."""
    tensor = _some_tensor(model, random)
    if is_external(tensor):
        return
    try:
        array = np.array(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError):  # Another mutation made the tensor invalid.
        return
    if array.size and array.dtype.kind in "fiub":
        values = _FLOATS if array.dtype.kind == "f" else _INTEGERS
        with np.errstate(all="ignore"):
            unusual = np.array(random.choice(values)).astype(array.dtype)
        array.flat[random.randrange(array.size) if random.random() < 0.8 else slice(None)] = unusual
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _make_external(model: onnx.ModelProto, random: Random) -> None:
    tensor = _some_tensor(model, random)
    tensor.data_location = random.choice([TensorProto.EXTERNAL, TensorProto.DEFAULT])
    place = random.choice(["model.onnx", "/etc/hostname", "../../etc/hostname", "", ".", "\0", "x" * 5000])
    for key, value in (("location", place), ("offset", random.choice(_INTEGERS)), ("length", random.choice(_INTEGERS))):
        if random.random() < 0.8:
            tensor.external_data.add(key=key, value=str(value))


def _change_attribute(model: onnx.ModelProto, random: Random) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    if not attributes:
        return
    attribute = random.choice(attributes)
    integers = [random.choice(_INTEGERS) for _ in range(random.randint(1, 5))]
    value = random.choice([random.choice(_INTEGERS), random.choice(_FLOATS), b"\xff", integers, [1.5], "x" * 2**16])
    attribute.CopyFrom(helper.make_attribute(attribute.name, value))


def _change_attribute_kind(model: onnx.ModelProto, random: Random) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    if attributes:
        attribute = random.choice(attributes)
        attribute.type = random.choice(_KINDS)
        attribute.name = random.choice([attribute.name, attribute.name, "", "axis", "perm", "to", "value"])


def _drop_attributes(model: onnx.ModelProto, random: Random) -> None:
    nodes = [node for node in model.graph.node if node.attribute]
    if nodes:
        node = random.choice(nodes)
        del node.attribute[random.randrange(len(node.attribute)) :]


def _swap_attributes(model: onnx.ModelProto, random: Random) -> None:
    source, target = random.choice(model.graph.node), random.choice(model.graph.node)
    target.attribute.extend(list(source.attribute))  # A copy of the list, since both nodes may be the same.


TENSOR_MUTATIONS: tuple[GraphMutation, ...] = (
    _change_dims,
    _reshape,
    _remove_rows,
    _change_type,
    _change_size,
    _change_field,
    _change_values,
    _change_values,
    _make_external,
    _change_attribute,
    _change_attribute_kind,
    _drop_attributes,
    _swap_attributes,
)
