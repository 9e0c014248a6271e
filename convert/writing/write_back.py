"""Params into the ONNX graph that they came from: the same nodes and names, other numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.graph.graph import Constant, Graph, owner
from convert.graph.lowering import plain_graph
from convert.reading.tensors import TYPED_FIELDS, named_tensors
from convert.recognition.bert_layout import recognise
from minilm_jax.errors import ConversionError
from minilm_jax.nn.params import flatten

Array = NDArray[Any]


def write_back(params: Mapping[str, Any], original: onnx.ModelProto) -> onnx.ModelProto:
    """Writes params into a graph, undoing what was undone when they were read from it.

    Args:
        params: Nested dict of float32 arrays; a pooler that the graph has no place for is left out.
        original: A checked model that is not quantised, see `convert.reading.onnx_file`.

    Returns:
        A copy of the model with other weights; those in half precision are rounded to it.

    Raises:
        ConversionError: The params have no place in the graph, or the graph has a weight that they lack.
    """
    graph = plain_graph(original)
    layout = recognise(graph)
    leaves = {path: np.asarray(leaf) for path, leaf in flatten(params).items()}
    if missing := sorted(layout.weights.keys() - leaves.keys()):
        raise ConversionError(f"the graph has the weight {missing[0]}, and the params do not.")
    places = {path: (weight, leaves[path]) for path, weight in layout.weights.items()}
    copies = _Copies(graph)
    for path, (weight, leaf) in places.items():
        if copies.has(weight):
            _check_shape(path, weight, leaf)
            copies.view(weight)[...] = leaf / weight.factor
        elif not np.array_equal(weight.numbers, leaf):
            raise ConversionError(f"{path}: {copies.why_not(weight)}.")
    for path, (weight, leaf) in places.items():
        if copies.has(weight) and not np.array_equal(copies.view(weight), _rounded(leaf / weight.factor, weight)):
            raise ConversionError(f"{path}: the graph keeps {weight.source!r} for several weights, which differ now.")
    return copies.written_into(original)


class _Copies:
    """Writable copies of the constants in a file, made when first needed."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._copies: dict[str, Array] = {}

    def has(self, weight: Constant) -> bool:
        """Returns whether a weight is a rearranged view of one initialiser, so that it can be written there."""
        stored = self._graph.constant(weight.source)
        return stored is not None and owner(stored.value) is owner(weight.value)

    def why_not(self, weight: Constant) -> str:
        """Returns why a weight has no place to be written to."""
        if self._graph.constant(weight.source) is None:
            return "the graph has no place for it, as it was all zeros"
        return f"the graph holds it as {weight.stored} ({', '.join(weight.undone)}), which cannot be written back"

    def view(self, weight: Constant) -> Array:
        """Returns the weight's view of the copy."""
        stored = owner(weight.value)
        if weight.source not in self._copies:
            self._copies[weight.source] = stored.copy()
        offset = weight.value.__array_interface__["data"][0] - stored.__array_interface__["data"][0]
        copy = self._copies[weight.source]
        return np.ndarray(weight.value.shape, stored.dtype, copy, offset, weight.value.strides)

    def written_into(self, original: onnx.ModelProto) -> onnx.ModelProto:
        """Returns the original with the copies in the place of what they are copies of."""
        model = onnx.ModelProto()
        model.CopyFrom(original)
        for name, tensor in named_tensors(model):
            if name in self._copies:
                for field in TYPED_FIELDS:
                    tensor.ClearField(field)
                tensor.raw_data = self._copies[name].tobytes()
        return model


def _check_shape(path: str, weight: Constant, leaf: Array) -> None:
    if leaf.shape != weight.value.shape:
        raise ConversionError(
            f"{path} is {list(leaf.shape)} in the params and {list(weight.value.shape)} in the graph."
        )


def _rounded(leaf: Array, weight: Constant) -> Array:
    return leaf.astype(weight.value.dtype)
