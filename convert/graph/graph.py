"""A read-only view of an ONNX graph: who makes a tensor, who takes it, and what is constant in it."""

import dataclasses
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.reading.tensors import all_tensors, size_in_bytes, to_array
from minilm_jax.errors import ConversionError

T = TypeVar("T")

# Two bits in the file become a float32.
_MEMORY_PER_BYTE, _LEAST_MEMORY = 16, 2**24
# Of all searches together; 6 layers take about 550.
_MOST_STEPS = 100_000
_ONE_DATA_INPUT = ("Reshape", "Expand", "Squeeze", "Unsqueeze", "Slice", "Gather", "Flatten")


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    Attributes:
        op_type: What it computes.
        inputs: Names of the tensors that it takes, "" for one left out.
        outputs: Names of the tensors that it makes.
        attributes: Its settings by their names.
        name: In the file; often empty.
    """

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""

    @classmethod
    def of(cls, proto: onnx.NodeProto) -> "Node":
        """Returns the node that an ONNX file describes; raises ConversionError for a damaged one."""
        try:
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        except ValueError as error:
            raise ConversionError(f"node {proto.name!r} ({proto.op_type}) is damaged: {error}.") from None
        return cls(proto.op_type, tuple(proto.input), tuple(proto.output), attributes, proto.name)

    @property
    def output(self) -> str:
        """Name of the first tensor that it makes."""
        return self.outputs[0] if self.outputs else ""

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the inputs that it works on; of some operations the others are settings, such as a shape."""
        return self.inputs[:1] if self.op_type in _ONE_DATA_INPUT else self.inputs

    def input(self, index: int) -> str:
        """Returns the name of an input, "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def attribute(self, name: str, default: T) -> T:
        """Returns a setting, or the default; raises ConversionError if it is of another type than the default."""
        value: Any = self.attributes.get(name, default)
        if default is not None and not isinstance(value, type(default)):
            raise ConversionError(f"{self}: {name} is {value!r:.80}, not of type {type(default).__name__}.")
        return value

    @property
    def label(self) -> str:
        """Its name, or what it makes where it has none."""
        return self.name or self.output

    def __str__(self) -> str:
        return f"node {self.label!r} ({self.op_type})"


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the inputs.

    Attributes:
        value: Its numbers; a view of the initialiser's own where they were only rearranged.
        source: The initialiser or Constant node that they came from.
        undone: The operations between that and here, such as Transpose.
        stored: How the file holds the numbers, such as float32 or int8.
        factor: What to multiply the numbers with, where the file has them divided by it.
        node: The operation that takes them as a weight.
    """

    value: NDArray[Any]
    source: str
    undone: tuple[str, ...] = ()
    stored: str = ""
    factor: float = 1.0
    node: str = ""

    @property
    def numbers(self) -> NDArray[np.float32]:
        """The weight itself, in float32 and in C order."""
        numbers = np.ascontiguousarray(self.value, np.float32)
        return numbers if self.factor == 1 else numbers * np.float32(self.factor)

    def then(self, operation: str, value: NDArray[Any]) -> "Constant":
        """Returns what an operation makes of this."""
        return dataclasses.replace(self, value=value, undone=(*self.undone, operation))


class Graph:
    """The operations of a model, added in the order of computation.

    Attributes:
        nodes: In that order.
        inputs: Names of what the caller feeds.
        outputs: Names of what the graph returns.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Starts a graph without operations, with the inputs, outputs and initialisers of a model."""
        graph = model.graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        if len(self._initializers) < len(graph.initializer):
            raise ConversionError("two of its initialisers have one name.")
        self._constants: dict[str, Constant] = {}
        self._counted: set[int] = set()
        self._memory_left = _LEAST_MEMORY + _MEMORY_PER_BYTE * sum(map(size_in_bytes, all_tensors(model)))
        self._steps_left = _MOST_STEPS
        self._names: dict[str, str] = {}
        self._producer: dict[str, Node] = {}
        self._consumers: dict[str, list[Node]] = defaultdict(list)
        self.nodes: list[Node] = []
        self.inputs = input_names(model)
        self.outputs = [value.name for value in graph.output]
        self._known = {"", *self.inputs, *self._initializers}

    def add(self, node: Node) -> None:
        """Appends an operation.

        Raises:
            ConversionError: It takes what was not computed before (so also: there is a cycle), or makes it again.
        """
        node = self.resolved(node)
        for name in filter(None, node.outputs):
            self._declare(name, node)
            self._producer[name] = node
        for name in node.inputs:
            self._consumers[name].append(node)
        self.nodes.append(node)

    def declare(self, names: Iterable[str], node: Node) -> None:
        """Makes tensors known that `node` computes, without saying how; raises ConversionError as `add` does."""
        for name in filter(None, names):
            self._declare(name, node)

    def add_constant(self, name: str, constant: Constant, node: Node) -> None:
        """Makes a tensor known by its value, which `node` computes."""
        self._declare(name, node)
        self._constants[name] = constant
        self._count(constant.value, node)

    def rename(self, name: str, original: str, node: Node) -> None:
        """Makes a tensor known that is another one under a new name, to which `node` gave it."""
        self._declare(name, node)
        self._names[name] = original

    def resolved(self, node: Node) -> Node:
        """Returns a node with the original names of the tensors that it takes."""
        inputs = tuple(self.original(name) for name in node.inputs)
        for name in inputs:
            if name not in self._known:
                raise ConversionError(f"{node} takes {name!r} before it is computed.")
        return dataclasses.replace(node, inputs=inputs)

    def original(self, name: str) -> str:
        """Returns the first name of a tensor that has been renamed, cast or quantised since."""
        return self._names.get(name, name)

    def producer(self, name: str, *op_types: str) -> Node | None:
        """Returns the node that computes a tensor, if it is of one of these types (of any, if none is given)."""
        node = self._producer.get(name)
        return node if node is not None and (not op_types or node.op_type in op_types) else None

    def consumers(self, name: str, *op_types: str) -> list[Node]:
        """Returns the nodes that take a tensor, of these types or of any."""
        return [node for node in self._consumers.get(name, []) if not op_types or node.op_type in op_types]

    def constant(self, name: str) -> Constant | None:
        """Returns a tensor's value if it does not depend on the inputs, as far as that is known without computing."""
        if name not in self._constants and name in self._initializers:
            array = to_array(self._initializers[name])
            self._constants[name] = Constant(array, name, stored=str(array.dtype))
            self._counted.add(id(owner(array)))
        return self._constants.get(name)

    def constant_operand(self, node: Node) -> tuple[Constant, str] | None:
        """Splits a node of two operands into its constant one and the name of the other one."""
        for mine, other in ((0, 1), (1, 0)):
            constant = self.constant(node.input(mine))
            if constant is not None and node.input(other) and self.constant(node.input(other)) is None:
                return constant, node.input(other)
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
            name, find, lambda t: [i for n in filter(None, [self.producer(t, *through)]) for i in n.data]
        )

    def trace_forward(self, name: str, through: Collection[str], find: Callable[[str], T | None]) -> list[T]:
        """Searches along the data flow, as `trace_back` does against it."""
        return self._search(name, find, lambda t: [o for n in self.consumers(t, *through) for o in n.outputs])

    def needed(self) -> set[str]:
        """Returns the names of all tensors that the outputs are computed from."""
        seen: set[str] = set()
        frontier = [self.original(name) for name in self.outputs]
        while frontier:
            name = frontier.pop()
            if name not in seen:
                seen.add(name)
                frontier += getattr(self.producer(name), "inputs", ())
        return seen

    def path_back(self, name: str, through: Collection[str], source: str) -> list[Node]:
        """Returns the nodes on a shortest way from `source` to the tensor `name`, in the order of computation."""
        after: dict[str, tuple[Node, str]] = {}

        def inputs(tensor: str) -> list[str]:
            if (node := self.producer(tensor, *through)) is None:
                return []
            for one in node.data:
                after.setdefault(one, (node, tensor))
            return list(node.data)

        if not self._search(name, lambda tensor: True if tensor == source else None, inputs):
            return []
        path = []
        while source != name:
            node, source = after[source]
            path.append(node)
        return path

    def afford(self, size: int, node: Node) -> None:
        """Raises ConversionError if a constant of that many bytes is more than a file of this size has any use for."""
        if size > self._memory_left:
            raise ConversionError(f"{node}: the constants take {_MEMORY_PER_BYTE} times the memory that the file does.")

    def _count(self, value: NDArray[Any], node: Node) -> None:
        if id(owner(value)) in self._counted:
            return
        self._counted.add(id(owner(value)))
        self.afford(value.nbytes, node)
        self._memory_left -= value.nbytes

    def _search(self, name: str, find: Callable[[str], T | None], neighbours: Callable[[str], list[str]]) -> list[T]:
        found, seen, frontier = [], {name}, deque([name])
        while frontier:
            tensor = frontier.popleft()
            self._steps_left -= 1
            if self._steps_left < 0:
                raise ConversionError("its graph is more tangled than any encoder's; no end to the search is in sight.")
            if (match := find(tensor)) is not None:
                found.append(match)
                continue
            for fresh in neighbours(tensor):
                if fresh not in seen:
                    seen.add(fresh)
                    frontier.append(fresh)
        return found

    def _declare(self, name: str, node: Node) -> None:
        if name in self._known:
            raise ConversionError(f"{node} computes {name!r}, which is there already.")
        self._known.add(name)


def input_names(model: onnx.ModelProto) -> list[str]:
    """Returns the names of what the caller feeds; some files list the initialisers among the inputs too."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in initializers]


def owner(array: NDArray[Any]) -> NDArray[Any]:
    """Returns the array whose memory an array is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


# How a node of a file is added to a graph.
Lower = Callable[[Graph, Node], None]
