"""One operation of a graph."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import onnx
from onnx import helper

from minilm_jax.errors import ConversionError

T = TypeVar("T")

# The first input of these operators is the data; the other inputs are settings, such as a shape.
_ONE_DATA_INPUT = ("Reshape", "Expand", "Squeeze", "Unsqueeze", "Slice", "Gather", "Flatten")


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    Attributes:
        op_type: Its operator, such as MatMul.
        inputs: Names of its input tensors, "" for an input that is left out.
        outputs: Names of its output tensors.
        attributes: Its settings by name.
        name: Its name in the file; often empty.
    """

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""

    @classmethod
    def of(cls, proto: onnx.NodeProto) -> "Node":
        """Return the node that a protobuf message describes; raises ConversionError if it is damaged."""
        try:
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        except ValueError as error:
            raise ConversionError(f"node {proto.name!r} ({proto.op_type}) is damaged: {error}.") from None
        return cls(proto.op_type, tuple(proto.input), tuple(proto.output), attributes, proto.name)

    @property
    def output(self) -> str:
        """Name of the first output, "" if there is none."""
        return self.outputs[0] if self.outputs else ""

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the inputs that hold data, without those that hold settings such as a shape."""
        return self.inputs[:1] if self.op_type in _ONE_DATA_INPUT else self.inputs

    def input(self, index: int) -> str:
        """Return the name of an input, "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def attribute(self, name: str, default: T) -> T:
        """Return a setting, or the default; raises ConversionError if its type is not that of the default."""
        value: Any = self.attributes.get(name, default)
        if default is not None and not isinstance(value, type(default)):
            raise ConversionError(f"{self}: {name} is {value!r:.80}, not of type {type(default).__name__}.")
        return value

    @property
    def label(self) -> str:
        """The name of the node or, if it has none, of its first output."""
        return self.name or self.output

    def __str__(self) -> str:
        return f"node {self.label!r} ({self.op_type})"
