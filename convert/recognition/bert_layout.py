"""Recognises the BERT structure in a graph and names its weights, by the data flow alone: names there mean nothing.

The walk follows the tensor: embeddings, their LayerNorm, then layer after layer around each attention block. Query,
key, value and output kernels all have one shape, so it is their place in the flow that tells them apart.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np

from convert.graph.graph import Constant, Graph
from convert.recognition.attention_heads import folded_scale, head_size
from convert.recognition.blocks import (
    LAYOUT,
    SCALING,
    Attention,
    LayerNorm,
    Linear,
    find_attentions,
    find_layer_norms,
    find_linears,
    zeros,
)
from convert.recognition.embedding_tables import EmbeddingTables
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError

Block = TypeVar("Block", Linear, LayerNorm)

_ACTIVATIONS = ("Erf", "Tanh", "Gelu", "Relu", "Sigmoid", "QuickGelu", "Swish", "Softplus")
_ACTIVATION_PARTS = (*SCALING, *_ACTIVATIONS, "Add", "Pow", "Reshape")


@dataclasses.dataclass(frozen=True)
class BertLayout:
    """What was recognised.

    Attributes:
        weights: Every leaf of the parameter tree, by its path.
        config: The sizes, read off the weights and the graph.
        inputs: "input_ids", "position_ids" or "token_type_ids" for each input of the graph that rows are looked up by.
        outputs: "last_hidden_state", "pooler_output" or "" (for what only a comparison can tell) for each graph output.
    """

    weights: Mapping[str, Constant]
    config: EncoderConfig
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def recognise(graph: Graph) -> BertLayout:
    """Finds the weights of a BERT encoder in a graph.

    Args:
        graph: The graph, in plain operators.

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
        self.linear_by_output = {linear.output: linear for linear in self.linears}
        self.linears_by_input = _grouped(self.linears)
        self.norms_by_input = _grouped(self.norms)
        self.weights: dict[str, Constant] = {}
        self.used: set[str] = set()
        self.seen: dict[str, set[float | str]] = defaultdict(set)

    def run(self) -> BertLayout:
        tables = EmbeddingTables(self.graph)
        hidden = self.embeddings(tables)
        attentions = find_attentions(self.graph)
        if not attentions:
            raise ConversionError("there is no attention block in the graph; this is no transformer encoder.")
        for index, attention in enumerate(attentions):
            hidden = self.layer(f"encoder.layer.{index}", attention, hidden)
        pooler = self.pooler(hidden)
        self.check_nothing_left(tables)
        return BertLayout(self.weights, self.config(len(attentions)), tables.inputs, self.outputs(hidden, pooler))

    def embeddings(self, tables: EmbeddingTables) -> str:
        for norm in self.norms:
            if (found := tables.summed_in(norm.input)) is not None:
                self.take_norm("embeddings", norm)
                for name, table in found.items():
                    self.take(f"embeddings.{name}_embeddings.embedding", table, table.node)
                return norm.output
        raise ConversionError(f"{self.why_no_embeddings(tables)}; this is no BERT encoder.")

    def why_no_embeddings(self, tables: EmbeddingTables) -> str:
        if not tables.found:
            return (
                f"no rows of a table are looked up by what the graph takes, {', '.join(map(repr, self.graph.inputs))}"
            )
        if not self.norms:
            return "there is no LayerNorm with a scale and a bias in the graph"
        return f"{self.norms[0].node!r}, the first LayerNorm, is not over a sum of embeddings"

    def layer(self, path: str, attention: Attention, hidden: str) -> str:
        parts = {
            name: self.linear_behind(tensor, f"{path}.attention.self.{name}", hidden)
            for name, tensor in (("query", attention.query), ("key", attention.key), ("value", attention.value))
        }
        self.scale(path, attention, parts["query"], parts["key"])
        projected = self.linear_after(attention.output, f"{path}.attention.output.dense", LAYOUT)
        attended = self.norm_after(projected, f"{path}.attention.output", hidden)
        wide = self.linear_after(attended, f"{path}.intermediate.dense", LAYOUT)
        narrow = self.linear_after(wide.output, f"{path}.output.dense", _ACTIVATION_PARTS)
        self.seen["hidden_act"].add(self.activation(narrow, path))
        return self.norm_after(narrow, f"{path}.output", attended)

    def linear_behind(self, tensor: str, path: str, source: str) -> Linear:
        found = self.graph.trace_back(tensor, (*LAYOUT, *SCALING), self.linear_by_output.get)
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers make what attention takes; in BERT it is 1.")
        if not self.same(found[0].input, source):
            raise ConversionError(
                f"{path}: the dense layer {found[0].kernel.source!r} does not take the output of the LayerNorm before;"
                " this is no BERT layer."
            )
        return self.take_linear(path, found[0])

    def linear_after(self, tensor: str, path: str, through: tuple[str, ...]) -> Linear:
        found = list(itertools.chain(*self.graph.trace_forward(tensor, through, self.linears_by_input.get)))
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers follow {tensor!r}, not 1.")
        return self.take_linear(path, found[0])

    def norm_after(self, linear: Linear, path: str, residual: str) -> str:
        through = (*LAYOUT, "Add")
        found = list(itertools.chain(*self.graph.trace_forward(linear.output, through, self.norms_by_input.get)))
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} LayerNorms follow the dense layer, not 1.")
        added = self.graph.producer(found[0].input, "Add")
        if added is None or not any(self.same(name, residual) for name in added.inputs):
            raise ConversionError(
                f"{path}: the layer's input is not added before the LayerNorm; this is no BERT layer."
            )
        self.take_norm(path, found[0])
        return found[0].output

    def activation(self, narrow: Linear, path: str) -> str:
        def part(tensor: str) -> str | None:
            node = self.graph.producer(tensor, *_ACTIVATIONS)
            if node is not None and node.op_type == "Gelu":
                return "Tanh" if node.attribute("approximate", b"none") == b"tanh" else "Erf"
            return node.op_type if node is not None else None

        found = self.graph.trace_back(narrow.input, _ACTIVATION_PARTS, part)
        names = {"Erf": "gelu", "Tanh": "gelu_new"}
        if len(found) != 1 or found[0] not in names:
            raise ConversionError(
                f"{path}: the activation is {' and '.join(found) or 'missing'}; only GELU is supported."
            )
        return names[found[0]]

    def scale(self, path: str, attention: Attention, query: Linear, key: Linear) -> None:
        """Multiplies the query with what some tools have divided it by, so that the scores need 1 / √head size."""
        size = head_size(self.graph, path, attention, query)
        self.seen["head size"].add(size)
        folded = folded_scale(self.graph, path, attention, query, key, size)
        for leaf in ("kernel", "bias") if folded != 1 else ():
            name = f"{path}.attention.self.query.{leaf}"
            undone = (*self.weights[name].undone, f"multiplied by {folded:.6g}, so that the scale is 1/√{size}")
            self.weights[name] = dataclasses.replace(self.weights[name], factor=folded, undone=undone)

    def pooler(self, hidden: str) -> str | None:
        for linear in self.linears:
            activated = self.graph.consumers(linear.output, "Tanh")
            first_token = self.graph.trace_back(
                linear.input, (*LAYOUT, "Gather", "Slice"), lambda tensor: True if tensor == hidden else None
            )
            if linear.output not in self.used and activated and first_token:
                self.take_linear("pooler.dense", linear)
                return activated[0].output
        return None

    def outputs(self, hidden: str, pooler: str | None) -> dict[str, str]:
        def meaning(tensor: str) -> str:
            if self.same(tensor, hidden):
                return "last_hidden_state"
            return "pooler_output" if pooler is not None and self.same(tensor, pooler) else ""

        return {name: meaning(self.graph.original(name)) for name in self.graph.outputs}

    def config(self, layers: int) -> EncoderConfig:
        for what, values in self.seen.items():
            if len(values) > 1:
                raise ConversionError(f"the layers differ in {what}: {', '.join(map(str, sorted(values, key=str)))}.")
        rows, width = {}, 0
        for name in ("word", "position", "token_type"):
            rows[name], width = self.weights[f"embeddings.{name}_embeddings.embedding"].value.shape
        (size,) = self.seen["head size"]
        return EncoderConfig.from_dict(
            {
                "vocab_size": rows["word"],
                "hidden_size": width,
                "num_hidden_layers": layers,
                "num_attention_heads": width // int(size),
                "intermediate_size": self.weights["encoder.layer.0.intermediate.dense.kernel"].value.shape[1],
                "max_position_embeddings": rows["position"],
                "type_vocab_size": rows["token_type"],
                "layer_norm_eps": self.seen["layer_norm_eps"].pop(),
                "hidden_act": self.seen["hidden_act"].pop(),
            }
        )

    def same(self, tensor: str, other: str) -> bool:
        return bool(self.graph.trace_back(tensor, LAYOUT, lambda name: True if name == other else None))

    def take_linear(self, path: str, linear: Linear) -> Linear:
        self.take(f"{path}.kernel", linear.kernel, linear.node)
        # Exporters drop the addition of a bias that is all zeros.
        self.take(f"{path}.bias", linear.bias or zeros(linear.kernel.value.shape[1]), linear.node)
        self.used.add(linear.output)
        return linear

    def take_norm(self, path: str, norm: LayerNorm) -> None:
        self.take(f"{path}.LayerNorm.scale", norm.scale, norm.node)
        self.take(f"{path}.LayerNorm.bias", norm.bias, norm.node)
        self.seen["layer_norm_eps"].add(norm.epsilon)

    def take(self, path: str, weight: Constant, node: str) -> None:
        if not np.isfinite(weight.value).all():
            raise ConversionError(f"{path}: the weight {weight.source!r} holds values that are not finite.")
        self.weights[path] = dataclasses.replace(weight, node=node)

    def check_nothing_left(self, tables: EmbeddingTables) -> None:
        needed = self.graph.needed()
        unused = needed - self.used
        for linear in (one for one in self.linears if one.output in unused):
            shape = list(linear.kernel.value.shape)
            raise ConversionError(
                f"the dense layer {linear.kernel.source!r} {shape} has no place in BERT; is there a head on it?"
            )
        for lookup in tables.unused(needed):
            shape = list(lookup.table.value.shape)
            raise ConversionError(
                f"the table {lookup.table.source!r} {shape} has no place in BERT; are the positions relative?"
            )


def _grouped(blocks: Iterable[Block]) -> dict[str, list[Block]]:
    groups: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        groups[block.input].append(block)
    return groups
