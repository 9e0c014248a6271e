"""Write params into an existing ONNX graph: the nodes and names stay, the weights change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.graph.constant import Constant, owner
from convert.graph.graph import Graph
from convert.graph.lowering import plain_graph
from convert.reading.tensors import TYPED_FIELDS, named_tensors
from convert.recognition.bert_layout import recognize
from convert.recognition.embedding_tables import LOOKED_UP
from minilm_jax.errors import ConversionError
from minilm_jax.nn.params import flatten

_WORDS = "embeddings.word_embeddings.embedding"

Array = NDArray[Any]


def write_back(params: Mapping[str, Any], original: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the weights of a graph replaced by params.

    Args:
        params: Nested dict of float32 arrays; a pooler that the graph does not have is ignored.
        original: A checked model that is not quantized, see `convert.reading.onnx_file`.

    Returns:
        A copy of the model with the new weights, rounded to the type in which the graph stores them.

    Raises:
        ConversionError: A weight cannot be stored in the graph, or the graph has a weight that the params lack.
    """
    graph = plain_graph(original)
    layout = recognize(graph)
    leaves = {path: np.asarray(leaf) for path, leaf in flatten(params).items()}
    if missing := sorted(layout.weights.keys() - leaves.keys()):
        raise ConversionError(f"the params lack {missing[0]}, which the graph has.")
    pairs = {path: (weight, leaves[path]) for path, weight in layout.weights.items()}
    if layout.decoder is not None:
        pairs["predictions.decoder.kernel"] = (layout.decoder, leaves[_WORDS].T)
    copies = _Copies(graph)
    for path, (weight, leaf) in pairs.items():
        if copies.has(weight):
            _check_shape(path, weight, leaf)
            copies.write(weight, leaf / weight.factor)
        elif not np.array_equal(weight.weight, leaf):
            raise ConversionError(f"{path}: {copies.why_not(weight)}.")
    for path, (weight, leaf) in pairs.items():
        if copies.has(weight) and not np.array_equal(copies.view(weight), _rounded(leaf / weight.factor, weight)):
            raise ConversionError(f"{path}: the graph stores {weight.source!r} for several weights, which now differ.")
    return copies.written_into(original)


class _Copies:
    """Writable copies of the initializers of a file, made when first needed."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._copies: dict[str, Array] = {}

    def has(self, weight: Constant) -> bool:
        """Return whether a weight is a view of one initializer, so that new values can be written there."""
        stored = self._graph.constant(weight.source)
        return stored is not None and owner(stored.value) is owner(weight.value)

    def why_not(self, weight: Constant) -> str:
        """Return the reason why a weight cannot be written to the file."""
        if self._graph.constant(weight.source) is None:
            return "it was all zeros, so the graph does not store it"
        return f"the graph stores it as {weight.stored} ({', '.join(map(str, weight.undone))}), which cannot be written"

    def write(self, weight: Constant, values: Array) -> None:
        """Replace the values of a weight, and those of its repetitions."""
        view = self.view(weight)
        if weight.undone == (LOOKED_UP,):
            # The owner of the values is flat.
            view = self._copies[weight.source].reshape(-1, *self._table_shape(weight))
        view[...] = values

    def _table_shape(self, weight: Constant) -> tuple[int, ...]:
        stored = self._graph.constant(weight.source)
        return weight.value.shape if stored is None else stored.value.shape[-2:]

    def view(self, weight: Constant) -> Array:
        """Return a view of the copy with the shape and order of the weight."""
        stored = owner(weight.value)
        if weight.source not in self._copies:
            self._copies[weight.source] = stored.copy()
        offset = weight.value.__array_interface__["data"][0] - stored.__array_interface__["data"][0]
        copy = self._copies[weight.source]
        return np.ndarray(weight.value.shape, stored.dtype, copy, offset, weight.value.strides)

    def written_into(self, original: onnx.ModelProto) -> onnx.ModelProto:
        """Return the original model with its initializers replaced by the copies."""
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
