"""Recognises the BERT structure in a graph and names its weights, by the data flow alone: names there mean nothing.

The walk follows the tensor: embeddings, their LayerNorm, then layer after layer around each attention block. Query,
key, value and output kernels all have one shape, so it is their place in the flow that tells them apart.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from convert.blocks import (
    LAYOUT,
    SCALING,
    Attention,
    LayerNorm,
    Linear,
    Lookup,
    find_attentions,
    find_layer_norms,
    find_linears,
    find_lookups,
)
from convert.graph import Constant, Graph, attribute
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError

_ACTIVATION_PARTS = (*SCALING, "Add", "Pow", "Identity", "Cast", "Erf", "Tanh", "Gelu", "Relu", "Sigmoid", "Reshape")


@dataclasses.dataclass(frozen=True)
class BertLayout:
    """What was recognised.

    Attributes:
        weights: Every leaf of the parameter tree, by its path.
        config: The sizes, read off the weights and the graph.
        outputs: For each graph output that is understood, "last_hidden_state" or "pooler_output".
    """

    weights: Mapping[str, Constant]
    config: EncoderConfig
    outputs: Mapping[str, str]


def recognise(graph: Graph) -> BertLayout:
    """Finds the weights of a BERT encoder in a graph.

    Args:
        graph: The graph.

    Returns:
        The weights by their path in the parameter tree, the config and the outputs.

    Raises:
        ConversionError: The graph is not shaped like BERT; the message names the first thing that does not fit.
    """
    return _Walk(graph).run()


class _Walk:
    """One walk through one graph; `weights` fills up on the way."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.linears = find_linears(graph)
        self.norms = find_layer_norms(graph)
        self.weights: dict[str, Constant] = {}
        self.used: set[str] = set()
        self.epsilons: set[float] = set()

    def run(self) -> BertLayout:
        hidden = self.embeddings()
        attentions = find_attentions(self.graph)
        if not attentions:
            raise ConversionError("there is no attention block in the graph; this is no transformer encoder.")
        widths, activations = set(), set()
        for index, attention in enumerate(attentions):
            hidden, width, activation = self.layer(f"encoder.layer.{index}", attention, hidden)
            widths.add(width)
            activations.add(activation)
        pooler = self.pooler(hidden)
        self.check_nothing_left()
        if len(widths) > 1 or len(activations) > 1 or len(self.epsilons) > 1:
            raise ConversionError(
                f"the layers differ in head size {widths}, activation {activations} or epsilon {self.epsilons}."
            )
        config = self.config(len(attentions), widths.pop(), activations.pop())
        return BertLayout(self.weights, config, self.outputs(hidden, pooler))

    def embeddings(self) -> str:
        lookups = {lookup.output: lookup for lookup in find_lookups(self.graph)}
        for norm in self.norms:
            summed = self.graph.trace_back(norm.input, (*LAYOUT, "Add"), lookups.get)
            if len(summed) == 3:
                self.take_norm("embeddings", norm)
                for name, lookup in zip(("word", "position", "token_type"), self.ranked(summed), strict=True):
                    self.take(f"embeddings.{name}_embeddings.embedding", lookup.table)
                return norm.output
        raise ConversionError(
            "no LayerNorm over the sum of word, position and token type embeddings was found; this is no BERT encoder."
        )

    def ranked(self, lookups: list[Lookup]) -> list[Lookup]:
        # The word table is looked up by an input; of the rest, there are more positions than token types.
        def is_input(name: str) -> bool | None:
            return name in self.graph.inputs or None

        def rank(lookup: Lookup) -> tuple[bool, int]:
            by_input = bool(self.graph.trace_back(lookup.ids, LAYOUT, is_input))
            return by_input and lookup is not fewest, len(lookup.table.value)

        fewest = min(lookups, key=lambda lookup: len(lookup.table.value))
        return sorted(lookups, key=rank, reverse=True)

    def layer(self, path: str, attention: Attention, hidden: str) -> tuple[str, int, str]:
        query = self.linear_behind(attention.query, f"{path}.attention.self.query", hidden)
        self.linear_behind(attention.key, f"{path}.attention.self.key", hidden)
        self.linear_behind(attention.value, f"{path}.attention.self.value", hidden)
        projected = self.linear_after(attention.output, f"{path}.attention.output.dense", LAYOUT)
        attended = self.norm_after(projected, f"{path}.attention.output", hidden)
        wide = self.linear_after(attended, f"{path}.intermediate.dense", LAYOUT)
        narrow = self.linear_after(wide.output, f"{path}.output.dense", _ACTIVATION_PARTS)
        activation = self.activation(wide, narrow, path)
        return self.norm_after(narrow, f"{path}.output", attended), self.head_size(query, path), activation

    def linear_behind(self, tensor: str, path: str, source: str) -> Linear:
        by_output = {linear.output: linear for linear in self.linears}
        found = self.graph.trace_back(tensor, (*LAYOUT, *SCALING), by_output.get)
        if len(found) != 1 or not self.same(found[0].input, source):
            raise ConversionError(
                f"{path}: {len(found)} dense layers between the layer's input and its attention, not 1."
            )
        return self.take_linear(path, found[0])

    def linear_after(self, tensor: str, path: str, through: tuple[str, ...]) -> Linear:
        by_input = {linear.input: linear for linear in self.linears}
        found = self.graph.trace_forward(tensor, through, by_input.get)
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers follow {tensor!r}, not 1.")
        return self.take_linear(path, found[0])

    def norm_after(self, linear: Linear, path: str, residual: str) -> str:
        by_input = {norm.input: norm for norm in self.norms}
        found = self.graph.trace_forward(linear.output, (*LAYOUT, "Add"), by_input.get)
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} LayerNorms follow the dense layer, not 1.")
        added = self.graph.producer(found[0].input, "Add")
        if added is None or not any(self.same(name, residual) for name in added.input):
            raise ConversionError(
                f"{path}: the layer's input is not added before the LayerNorm; this is no BERT layer."
            )
        self.take_norm(path, found[0])
        return found[0].output

    def activation(self, wide: Linear, narrow: Linear, path: str) -> str:
        def part(tensor: str) -> str | None:
            node = self.graph.producer(tensor, "Erf", "Tanh", "Gelu", "Relu", "Sigmoid")
            if node is not None and node.op_type == "Gelu":
                return "Tanh" if attribute(node, "approximate", b"none") == b"tanh" else "Erf"
            return node.op_type if node is not None else None

        found = self.graph.trace_back(narrow.input, _ACTIVATION_PARTS, part)
        names = {"Erf": "gelu", "Tanh": "gelu_new"}
        if len(found) != 1 or found[0] not in names:
            raise ConversionError(
                f"{path}: the activation is {' and '.join(found) or 'missing'}; only GELU is supported."
            )
        return names[found[0]]

    def head_size(self, query: Linear, path: str) -> int:
        # The first Reshape after the query splits it into [B, T, N, H]; N and H are constants, or one of them is -1.
        for reshape in self.graph.consumers(query.output, "Reshape"):
            sizes = self.last_sizes(reshape.input[1])
            if sizes is not None:
                heads, size = sizes
                return size if size > 0 else query.kernel.value.shape[1] // heads
        raise ConversionError(f"{path}: the query is not split into heads by a Reshape of constant head size.")

    def last_sizes(self, shape: str) -> tuple[int, int] | None:
        constant = self.graph.constant(shape)
        if constant is not None and constant.value.size >= 2:
            return int(constant.value[-2]), int(constant.value[-1])
        concat = self.graph.producer(shape, "Concat")
        parts = [self.graph.scalar(name) for name in concat.input[-2:]] if concat is not None else []
        if len(parts) == 2 and parts[0] is not None and parts[1] is not None:
            return int(parts[0]), int(parts[1])
        return None

    def pooler(self, hidden: str) -> str | None:
        for linear in self.linears:
            activated = self.graph.consumers(linear.output, "Tanh")
            first_token = self.graph.trace_back(
                linear.input, (*LAYOUT, "Gather", "Slice"), lambda tensor: True if tensor == hidden else None
            )
            if linear.output not in self.used and activated and first_token:
                self.take_linear("pooler.dense", linear)
                return activated[0].output[0]
        return None

    def outputs(self, hidden: str, pooler: str | None) -> dict[str, str]:
        names = {}
        for output in self.graph.outputs:
            if self.same(output, hidden):
                names[output] = "last_hidden_state"
            elif pooler is not None and self.same(output, pooler):
                names[output] = "pooler_output"
        if not names:
            raise ConversionError(
                f"none of the outputs {self.graph.outputs} is the last layer's; nothing could be proved."
            )
        return names

    def config(self, layers: int, head_size: int, activation: str) -> EncoderConfig:
        tables = {
            name: self.weights[f"embeddings.{name}_embeddings.embedding"].value
            for name in ("word", "position", "token_type")
        }
        width = tables["word"].shape[1]
        return EncoderConfig.from_dict(
            {
                "vocab_size": len(tables["word"]),
                "hidden_size": width,
                "num_hidden_layers": layers,
                "num_attention_heads": width // head_size,
                "intermediate_size": self.weights["encoder.layer.0.intermediate.dense.kernel"].value.shape[1],
                "max_position_embeddings": len(tables["position"]),
                "type_vocab_size": len(tables["token_type"]),
                "layer_norm_eps": self.epsilons.pop(),
                "hidden_act": activation,
            }
        )

    def same(self, tensor: str, other: str) -> bool:
        return bool(self.graph.trace_back(tensor, LAYOUT, lambda name: True if name == other else None))

    def take_linear(self, path: str, linear: Linear) -> Linear:
        self.take(f"{path}.kernel", linear.kernel)
        # Exporters drop the addition of a bias that is all zeros.
        zeros = Constant(np.zeros(linear.kernel.value.shape[1], np.float32), "none in the graph, so zeros")
        self.take(f"{path}.bias", linear.bias or zeros)
        self.used.add(linear.output)
        return linear

    def take_norm(self, path: str, norm: LayerNorm) -> None:
        self.take(f"{path}.LayerNorm.scale", norm.scale)
        self.take(f"{path}.LayerNorm.bias", norm.bias)
        self.epsilons.add(norm.epsilon)

    def take(self, path: str, weight: Constant) -> None:
        if not np.isfinite(weight.value).all():
            raise ConversionError(f"{path}: the weight {weight.source!r} holds values that are not finite.")
        self.weights[path] = weight

    def check_nothing_left(self) -> None:
        if left := [linear for linear in self.linears if linear.output not in self.used]:
            shape = list(left[0].kernel.value.shape)
            raise ConversionError(
                f"the dense layer {left[0].kernel.source!r} {shape} has no place in BERT; is there a head on it?"
            )
