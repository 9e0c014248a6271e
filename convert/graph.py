"""A read-only view of an ONNX graph: who makes a tensor, who takes it, and what is constant in it."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.onnx_file import to_array
from minilm_jax.errors import ConversionError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the inputs.

    Attributes:
        value: Its numbers.
        source: The initialiser or Constant node that they came from.
        undone: The operations between that and here, such as Transpose.
    """

    value: NDArray[Any]
    source: str
    undone: tuple[str, ...] = ()


class Graph:
    """The graph of a model.

    Attributes:
        nodes: In the order of computation.
        inputs: Names of what the caller feeds; initialisers that are listed as inputs too are none.
        outputs: Names of what the graph returns.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Indexes the graph.

        Args:
            model: A checked model.

        Raises:
            ConversionError: The nodes are not in the order of computation (so also: there is a cycle).
        """
        graph = model.graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._constants: dict[str, Constant | None] = {}
        self.nodes = list(graph.node)
        self.inputs = [value.name for value in graph.input if value.name not in self._initializers]
        self.outputs = [value.name for value in graph.output]
        self._producer: dict[str, onnx.NodeProto] = {}
        self._consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        known = {"", *self.inputs, *self._initializers}
        for node in self.nodes:
            if missing := [name for name in node.input if name not in known]:
                raise ConversionError(
                    f"node {node.name!r} ({node.op_type}) takes {missing[0]!r} before it is computed."
                )
            known.update(node.output)
            self._producer.update((name, node) for name in node.output)
            for name in node.input:
                self._consumers[name].append(node)

    def producer(self, name: str, *op_types: str) -> onnx.NodeProto | None:
        """Returns the node that computes a tensor, if it is of one of these types (of any, if none is given)."""
        node = self._producer.get(name)
        return node if node is not None and (not op_types or node.op_type in op_types) else None

    def consumers(self, name: str, *op_types: str) -> list[onnx.NodeProto]:
        """Returns the nodes that take a tensor, of these types or of any."""
        return [node for node in self._consumers.get(name, []) if not op_types or node.op_type in op_types]

    def constant(self, name: str) -> Constant | None:
        """Returns a tensor's value if it is an initialiser, a Constant, or either of them merely rearranged."""
        if name not in self._constants:
            self._constants[name] = self._fold(name)
        return self._constants[name]

    def scalar(self, name: str) -> float | None:
        """Returns the one number that a constant tensor holds, or None."""
        constant = self.constant(name)
        return float(constant.value.reshape(())) if constant is not None and constant.value.size == 1 else None

    def constant_operand(self, node: onnx.NodeProto) -> tuple[Constant, str] | None:
        """Splits a node of two operands into its constant one and the name of the other one."""
        for mine, other in ((0, 1), (1, 0)):
            constant = self.constant(node.input[mine])
            if constant is not None and self.constant(node.input[other]) is None:
                return constant, node.input[other]
        return None

    def trace_back(self, name: str, through: Collection[str], find: Callable[[str], T | None]) -> list[T]:
        """Searches against the data flow.

        Args:
            name: The tensor to start from.
            through: The node types whose inputs are searched too.
            find: Returns what a tensor stands for, or None to look further.

        Returns:
            What was found, nearest first.
        """
        return self._search(
            name, find, lambda t: [i for n in filter(None, [self.producer(t, *through)]) for i in n.input]
        )

    def trace_forward(self, name: str, through: Collection[str], find: Callable[[str], T | None]) -> list[T]:
        """Searches along the data flow, as `trace_back` does against it."""
        return self._search(name, find, lambda t: [o for n in self.consumers(t, *through) for o in n.output])

    def _search(self, name: str, find: Callable[[str], T | None], neighbours: Callable[[str], list[str]]) -> list[T]:
        found, seen, frontier = [], {name}, [name]
        while frontier:
            tensor = frontier.pop(0)
            if (match := find(tensor)) is not None:
                found.append(match)
                continue
            fresh = [t for t in neighbours(tensor) if t not in seen]
            seen.update(fresh)
            frontier.extend(fresh)
        return found

    def _fold(self, name: str) -> Constant | None:
        if name in self._initializers:
            return Constant(to_array(self._initializers[name]), name)
        node = self.producer(name)
        if node is None or (node.op_type != "Constant" and node.op_type not in _FOLDERS):
            return None
        if node.op_type == "Constant":
            return _constant_node(node)
        operands = [self.constant(i) for i in node.input]
        if not operands or any(o is None for o in operands):
            return None
        first, *rest = [o for o in operands if o is not None]
        value = _FOLDERS[node.op_type](first.value, node, *(o.value for o in rest))
        return Constant(value, first.source, (*first.undone, node.op_type))


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Returns the value of a node's attribute."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _constant_node(node: onnx.NodeProto) -> Constant | None:
    (value,) = node.attribute
    content = helper.get_attribute_value(value)
    array = to_array(content) if isinstance(content, onnx.TensorProto) else np.asarray(content)
    return Constant(array, node.output[0])


def _transpose(value: NDArray[Any], node: onnx.NodeProto) -> NDArray[Any]:
    return np.transpose(value, attribute(node, "perm"))


def _unsqueeze(value: NDArray[Any], node: onnx.NodeProto, axes: NDArray[Any] | None = None) -> NDArray[Any]:
    # Before opset 13 the axes are an attribute, since then an input.
    return np.expand_dims(value, tuple(attribute(node, "axes") if axes is None else axes))


def _cast(value: NDArray[Any], node: onnx.NodeProto) -> NDArray[Any]:
    return value.astype(helper.tensor_dtype_to_np_dtype(attribute(node, "to")))


# Operations that rearrange a constant without computing on it.
_FOLDERS: dict[str, Callable[..., NDArray[Any]]] = {
    "Identity": lambda value, node: value,
    "Transpose": _transpose,
    "Cast": _cast,
    "Unsqueeze": _unsqueeze,
    "Reshape": lambda value, node, shape: value.reshape(shape),
}
