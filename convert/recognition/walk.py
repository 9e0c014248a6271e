"""Walk through a graph from the embeddings to the last layer, and collect the weights of BERT by the data flow.

Names in the graph are ignored, since exporters change them. The walk follows the hidden state: embeddings, their
LayerNorm, then each layer around its attention block. Query, key, value and output kernels have the same shape, so
only their position in the data flow tells them apart.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from convert.graph.constant import Constant
from convert.graph.graph import Graph
from convert.recognition.attention import Attention, find_attentions, folded_scale, head_size
from convert.recognition.blocks import (
    REARRANGING,
    SCALING,
    Linear,
    find_linears,
    zeros,
)
from convert.recognition.embedding_tables import EmbeddingTables
from convert.recognition.layer_norms import LayerNorm, find_layer_norms
from minilm_jax.errors import ConversionError

Block = TypeVar("Block", Linear, LayerNorm)

_ACTIVATIONS = ("Erf", "Tanh", "Gelu", "Relu", "Sigmoid", "QuickGelu", "Swish", "Softplus")
ACTIVATION_PARTS = (*SCALING, *_ACTIVATIONS, "Add", "Pow", "Reshape")


class Walk:
    """A walk through a graph that collects the weights.

    Attributes:
        tables: The embedding tables.
        weights: The weights found so far, by their path in the parameter tree.
        seen: Settings of the layers, such as the activation, each with the values found.
    """

    def __init__(self, graph: Graph) -> None:
        """Find the blocks of a graph."""
        self.graph = graph
        self.tables = EmbeddingTables(graph)
        self.linears = find_linears(graph)
        self.norms = find_layer_norms(graph)
        self.linear_by_output = {linear.output: linear for linear in self.linears}
        self.linears_by_input = _grouped(self.linears)
        self.norms_by_input = _grouped(self.norms)
        self.weights: dict[str, Constant] = {}
        self.used: set[str] = set()
        self.seen: dict[str, set[float | str]] = defaultdict(set)

    def encoder(self) -> tuple[str, int]:
        """Collect the weights of the embeddings and of all layers.

        Returns:
            The tensor of the last hidden state, and the number of layers.

        Raises:
            ConversionError: The graph does not have the structure of BERT.
        """
        hidden = self._embeddings()
        attentions = find_attentions(self.graph)
        if not attentions:
            raise ConversionError("the graph has no attention block; it is not a transformer encoder.")
        for index, attention in enumerate(attentions):
            hidden = self._layer(f"encoder.layer.{index}", attention, hidden)
        return hidden, len(attentions)

    def _embeddings(self) -> str:
        for norm in self.norms:
            if (found := self.tables.summed_in(norm.input)) is not None:
                self.take_norm("embeddings", norm)
                for name, table in found.items():
                    self._take(f"embeddings.{name}_embeddings.embedding", table, table.node)
                return norm.output
        raise ConversionError(f"{self._why_no_embeddings()}; this is not a BERT encoder.")

    def _why_no_embeddings(self) -> str:
        if not self.tables.found:
            return f"no embedding table is indexed by the inputs {', '.join(map(repr, self.graph.inputs))}"
        if not self.norms:
            return "the graph has no LayerNorm with a scale and a bias"
        return f"the first LayerNorm, {self.norms[0].node!r}, does not take a sum of embeddings"

    def _layer(self, path: str, attention: Attention, hidden: str) -> str:
        parts = {
            name: self._linear_behind(tensor, f"{path}.attention.self.{name}", hidden)
            for name, tensor in (("query", attention.query), ("key", attention.key), ("value", attention.value))
        }
        self._scale(path, attention, parts["query"], parts["key"])
        projected = self._linear_after(attention.output, f"{path}.attention.output.dense", REARRANGING)
        attended = self._norm_after(projected, f"{path}.attention.output", hidden)
        wide = self._linear_after(attended, f"{path}.intermediate.dense", REARRANGING)
        narrow = self._linear_after(wide.output, f"{path}.output.dense", ACTIVATION_PARTS)
        self.seen["hidden_act"].add(self.activation(narrow.input, path))
        return self._norm_after(narrow, f"{path}.output", attended)

    def _linear_behind(self, tensor: str, path: str, source: str) -> Linear:
        found = self.graph.trace_back(tensor, (*REARRANGING, *SCALING), self.linear_by_output.get)
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers compute this input of attention, but BERT has 1.")
        if not self.same(found[0].input, source):
            raise ConversionError(
                f"{path}: the dense layer {found[0].kernel.source!r} does not take the output of the previous"
                " LayerNorm; this is not a BERT layer."
            )
        return self.take_linear(path, found[0])

    def _linear_after(self, tensor: str, path: str, through: tuple[str, ...]) -> Linear:
        found = list(itertools.chain(*self.graph.trace_forward(tensor, through, self.linears_by_input.get)))
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers follow {tensor!r}, but BERT has 1.")
        return self.take_linear(path, found[0])

    def _norm_after(self, linear: Linear, path: str, residual: str) -> str:
        through = (*REARRANGING, "Add")
        found = list(itertools.chain(*self.graph.trace_forward(linear.output, through, self.norms_by_input.get)))
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} LayerNorms follow the dense layer, but BERT has 1.")
        added = self.graph.producer(found[0].input, "Add")
        if added is None or not any(self.same(name, residual) for name in added.inputs):
            raise ConversionError(
                f"{path}: the layer's input is not added before the LayerNorm; this is not a BERT layer."
            )
        self.take_norm(path, found[0])
        return found[0].output

    def activation(self, activated: str, path: str) -> str:
        """Return the name of the activation that computes a tensor."""

        def part(tensor: str) -> str | None:
            node = self.graph.producer(tensor, *_ACTIVATIONS)
            if node is not None and node.op_type == "Gelu":
                return "Tanh" if node.attribute("approximate", b"none") == b"tanh" else "Erf"
            return node.op_type if node is not None else None

        found = self.graph.trace_back(activated, ACTIVATION_PARTS, part)
        names = {"Erf": "gelu", "Tanh": "gelu_new"}
        if len(found) != 1 or found[0] not in names:
            raise ConversionError(
                f"{path}: the activation is {' and '.join(found) or 'missing'}; only GELU is supported."
            )
        return names[found[0]]

    def _scale(self, path: str, attention: Attention, query: Linear, key: Linear) -> None:
        """Multiply the query by the factor that some tools fold into it, so that the scale is 1 / √head size."""
        size = head_size(self.graph, path, attention, query)
        self.seen["head size"].add(size)
        folded = folded_scale(self.graph, path, attention, query, key, size)
        for leaf in ("kernel", "bias") if folded != 1 else ():
            name = f"{path}.attention.self.query.{leaf}"
            undone = (*self.weights[name].undone, f"multiplied by {folded:.6g}, so that the scale is 1/√{size}")
            self.weights[name] = dataclasses.replace(self.weights[name], factor=folded, undone=undone)

    def same(self, tensor: str, other: str) -> bool:
        """Return whether a tensor is another one with its elements rearranged."""
        return bool(self.graph.trace_back(tensor, REARRANGING, lambda name: True if name == other else None))

    def is_output(self, tensor: str) -> bool:
        """Return whether the graph returns a tensor, perhaps with its elements rearranged."""
        return any(self.same(self.graph.original(name), tensor) for name in self.graph.outputs)

    def take_linear(self, path: str, linear: Linear) -> Linear:
        """Collect the weights of a dense layer."""
        self._take(f"{path}.kernel", linear.kernel, linear.node)
        return self.take_bias(f"{path}.bias", linear)

    def take_bias(self, path: str, linear: Linear) -> Linear:
        """Collect the bias of a dense layer."""
        # Exporters omit the addition of a bias that is all zeros.
        self._take(path, linear.bias or zeros(linear.kernel.value.shape[1]), linear.node)
        self.used.add(linear.output)
        return linear

    def take_norm(self, path: str, norm: LayerNorm) -> None:
        """Collect the weights of a LayerNorm."""
        self._take(f"{path}.LayerNorm.scale", norm.scale, norm.node)
        self._take(f"{path}.LayerNorm.bias", norm.bias, norm.node)
        self.seen["layer_norm_eps"].add(norm.epsilon)

    def _take(self, path: str, weight: Constant, node: str) -> None:
        if not np.isfinite(weight.value).all():
            raise ConversionError(f"{path}: the weight {weight.source!r} contains NaN or infinite values.")
        self.weights[path] = dataclasses.replace(weight, node=node)


def _grouped(blocks: Iterable[Block]) -> dict[str, list[Block]]:
    groups: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        groups[block.input].append(block)
    return groups
