"""A read-only view of an ONNX graph: the producer and the consumers of each tensor, and the constants."""

import dataclasses
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import onnx
from numpy.typing import NDArray

from convert.graph.constant import Constant, owner
from convert.graph.node import Node
from convert.reading.onnx_file import opset_of
from convert.reading.tensors import all_tensors, size_in_bytes, to_array
from minilm_jax.errors import ConversionError

T = TypeVar("T")

# In float32, a weight of 2 bits takes 16 times as much memory as in the file.
_MEMORY_PER_BYTE, _BASE_MEMORY = 16, 2**24
# This limit applies to all searches together; a model of 6 layers needs about 550 steps.
_MAX_STEPS = 100_000
# The elements that may be read and computed while constants are folded, per byte of the file and for any file.
_WORK_PER_BYTE, _BASE_WORK = 16, 2**24


class Graph:
    """The operations of a model, added in the order of computation.

    Attributes:
        nodes: The operations in that order.
        inputs: Names of the tensors that the caller passes.
        types: The ONNX type of each input.
        outputs: Names of the tensors that the graph returns.
        folded: The operations on constants that were computed, by the name of their outputs.
        opset: Version of the ONNX operator set.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Start a graph without operations, with the inputs, outputs and initializers of a model."""
        graph = model.graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        if len(self._initializers) < len(graph.initializer):
            raise ConversionError("two of its initializers have the same name.")
        self._constants: dict[str, Constant] = {}
        self._counted: set[int] = set()
        size = sum(map(size_in_bytes, all_tensors(model)))
        self._memory_left = _BASE_MEMORY + _MEMORY_PER_BYTE * size
        self._work_left = _BASE_WORK + _WORK_PER_BYTE * size
        self._steps_left = _MAX_STEPS
        self._originals: dict[str, str] = {}
        self._producer: dict[str, Node] = {}
        self._consumers: dict[str, list[Node]] = defaultdict(list)
        self.nodes: list[Node] = []
        self.folded: dict[str, Node] = {}
        self.opset = opset_of(model)
        self.inputs = input_names(model)
        self.types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
        self.outputs = [value.name for value in graph.output]
        self._known = {"", *self.inputs, *self._initializers}

    def add(self, node: Node) -> None:
        """Append an operation.

        Raises:
            ConversionError: An input has not been computed yet (which includes cycles), or an output has already been.
        """
        node = self.resolved(node)
        for name in filter(None, node.outputs):
            self._declare(name, node)
            self._producer[name] = node
        for name in node.inputs:
            self._consumers[name].append(node)
        self.nodes.append(node)

    def declare(self, names: Iterable[str], node: Node) -> None:
        """Add tensors that `node` computes, but do not record a producer; raises ConversionError as `add` does."""
        for name in filter(None, names):
            self._declare(name, node)

    def add_constant(self, name: str, constant: Constant, node: Node) -> None:
        """Add a tensor with a known value, which `node` computes."""
        self._declare(name, node)
        self._constants[name] = constant
        self._count(constant.value, node)

    def rename(self, name: str, original: str, node: Node) -> None:
        """Add `name` as another name of the tensor `original`; `node` is the operation that renames it."""
        self._declare(name, node)
        self._originals[name] = original

    def resolved(self, node: Node) -> Node:
        """Return a node with the original names of its inputs."""
        inputs = tuple(self.original(name) for name in node.inputs)
        for name in inputs:
            if name not in self._known:
                raise ConversionError(f"{node} takes {name!r} before it is computed.")
        return dataclasses.replace(node, inputs=inputs)

    def original(self, name: str) -> str:
        """Return the first name of a tensor that was renamed, cast or quantized afterwards."""
        return self._originals.get(name, name)

    def producer(self, name: str, *op_types: str) -> Node | None:
        """Return the node that computes a tensor, or None if its operator is not one of `op_types` (default: any)."""
        node = self._producer.get(name)
        return node if node is not None and (not op_types or node.op_type in op_types) else None

    def consumers(self, name: str, *op_types: str) -> list[Node]:
        """Return the nodes that take a tensor, restricted to the operators `op_types` (default: any)."""
        return [node for node in self._consumers.get(name, []) if not op_types or node.op_type in op_types]

    def constant(self, name: str) -> Constant | None:
        """Return the value of a tensor if it is a known constant, otherwise None; nothing is computed."""
        if name not in self._constants and name in self._initializers:
            array = to_array(self._initializers[name])
            self._constants[name] = Constant(array, name, stored=str(array.dtype))
            self._counted.add(id(owner(array)))
        return self._constants.get(name)

    def constant_operand(self, node: Node) -> tuple[Constant, str] | None:
        """Split a node of two operands into its constant one and the name of the other one."""
        for mine, other in ((0, 1), (1, 0)):
            constant = self.constant(node.input(mine))
            if constant is not None and node.input(other) and self.constant(node.input(other)) is None:
                return constant, node.input(other)
        return None

    def trace_back(self, name: str, through: Collection[str], find: Callable[[str], T | None]) -> list[T]:
        """Search against the data flow.

        Args:
            name: The tensor to start from.
            through: The operators whose inputs are searched too.
            find: Returns the match at a tensor, or None to search further.

        Returns:
            The matches, nearest first.
        """
        return self._search(
            name, find, lambda t: [i for n in filter(None, [self.producer(t, *through)]) for i in n.data]
        )

    def trace_forward(self, name: str, through: Collection[str], find: Callable[[str], T | None]) -> list[T]:
        """Search along the data flow, as `trace_back` does against it."""
        return self._search(name, find, lambda t: [o for n in self.consumers(t, *through) for o in n.outputs])

    def needed(self) -> set[str]:
        """Return the names of all tensors that the outputs depend on, including the outputs."""
        return self.ancestors(map(self.original, self.outputs))

    def ancestors(self, names: Iterable[str], stop: Collection[str] = ()) -> set[str]:
        """Return the names of the tensors that some tensors depend on, including these; not through `stop`."""
        seen: set[str] = set()
        frontier = list(names)
        while frontier:
            name = frontier.pop()
            if name not in seen:
                seen.add(name)
                node = self.producer(name)
                frontier += node.inputs if node is not None and node.op_type not in stop else ()
        return seen

    def path_back(self, name: str, through: Collection[str], source: str) -> list[Node]:
        """Return the nodes on a shortest path from `source` to the tensor `name`, in the order of computation."""
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

    def check_memory(self, size: int, node: Node) -> None:
        """Raise ConversionError if a constant of `size` bytes exceeds the limit for a file of this size."""
        if size > self._memory_left:
            raise ConversionError(
                f"{node}: the constants need more than {_MEMORY_PER_BYTE} times the size of the file in memory."
            )

    def spend(self, elements: int, node: Node) -> None:
        """Count elements that an operation on constants reads or computes; raises ConversionError at the limit."""
        self._work_left -= elements
        if self._work_left < 0:
            raise ConversionError(f"{node}: folding the constants takes too long for a file of this size.")

    def _count(self, value: NDArray[Any], node: Node) -> None:
        if id(owner(value)) in self._counted:
            return
        self._counted.add(id(owner(value)))
        self.check_memory(value.nbytes, node)
        self._memory_left -= value.nbytes

    def _search(self, name: str, find: Callable[[str], T | None], neighbors: Callable[[str], list[str]]) -> list[T]:
        found, seen, frontier = [], {name}, deque([name])
        while frontier:
            tensor = frontier.popleft()
            self._steps_left -= 1
            if self._steps_left < 0:
                raise ConversionError(
                    f"its graph is too complex for a BERT encoder: searching it took more than {_MAX_STEPS:,} steps."
                )
            if (match := find(tensor)) is not None:
                found.append(match)
                continue
            for fresh in neighbors(tensor):
                if fresh not in seen:
                    seen.add(fresh)
                    frontier.append(fresh)
        return found

    def _declare(self, name: str, node: Node) -> None:
        if name in self._known:
            raise ConversionError(f"{node} computes {name!r}, which another node or input already provides.")
        self._known.add(name)


def input_names(model: onnx.ModelProto) -> list[str]:
    """Return the names of the inputs that the caller passes; some files also list the initializers as inputs."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in initializers]


# A Lower function adds a node of the file to a graph, in plain operators.
Lower = Callable[[Graph, Node], None]
