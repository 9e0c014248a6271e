"""Recognize the BERT structure in a graph and name its weights, by the data flow alone.

Names in the graph are ignored, since exporters change them. The walk follows the hidden state: embeddings, their
LayerNorm, then each layer around its attention block. Query, key, value and output kernels have the same shape, so
only their position in the data flow tells them apart.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

import numpy as np

from convert.graph.constant import Constant
from convert.graph.graph import Graph
from convert.recognition.attention import Attention, find_attentions, folded_scale, head_size
from convert.recognition.blocks import (
    REARRANGING,
    SCALING,
    LayerNorm,
    Linear,
    find_layer_norms,
    find_linears,
    zeros,
)
from convert.recognition.embedding_tables import EmbeddingTables
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError

Block = TypeVar("Block", Linear, LayerNorm)
EncoderTensor = Literal["last_hidden_state", "pooler_output"]

_ACTIVATIONS = ("Erf", "Tanh", "Gelu", "Relu", "Sigmoid", "QuickGelu", "Swish", "Softplus")
_ACTIVATION_PARTS = (*SCALING, *_ACTIVATIONS, "Add", "Pow", "Reshape")


@dataclasses.dataclass(frozen=True)
class BertLayout:
    """The position of a BERT encoder in a graph.

    Attributes:
        weights: Every leaf of the parameter tree, by its path.
        config: The sizes of the encoder.
        inputs: "input_ids", "position_ids" or "token_type_ids" for each graph input that selects table rows.
        outputs: The tensor of the encoder that each graph output equals, or None if there is none.
    """

    weights: Mapping[str, Constant]
    config: EncoderConfig
    inputs: Mapping[str, str]
    outputs: Mapping[str, EncoderTensor | None]


def recognize(graph: Graph) -> BertLayout:
    """Recognize the BERT encoder in a graph.

    Args:
        graph: The graph, in plain operators.

    Returns:
        The weights by their path in the parameter tree, the config, the inputs and the outputs.

    Raises:
        ConversionError: The graph does not have the structure of BERT; the message names the first mismatch.
    """
    return _Walk(graph).run()


class _Walk:
    """A walk through a graph that collects the weights."""

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
            raise ConversionError("the graph has no attention block; it is not a transformer encoder.")
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
        raise ConversionError(f"{self.why_no_embeddings(tables)}; this is not a BERT encoder.")

    def why_no_embeddings(self, tables: EmbeddingTables) -> str:
        if not tables.found:
            return f"no embedding table is indexed by the inputs {', '.join(map(repr, self.graph.inputs))}"
        if not self.norms:
            return "the graph has no LayerNorm with a scale and a bias"
        return f"the first LayerNorm, {self.norms[0].node!r}, does not take a sum of embeddings"

    def layer(self, path: str, attention: Attention, hidden: str) -> str:
        parts = {
            name: self.linear_behind(tensor, f"{path}.attention.self.{name}", hidden)
            for name, tensor in (("query", attention.query), ("key", attention.key), ("value", attention.value))
        }
        self.scale(path, attention, parts["query"], parts["key"])
        projected = self.linear_after(attention.output, f"{path}.attention.output.dense", REARRANGING)
        attended = self.norm_after(projected, f"{path}.attention.output", hidden)
        wide = self.linear_after(attended, f"{path}.intermediate.dense", REARRANGING)
        narrow = self.linear_after(wide.output, f"{path}.output.dense", _ACTIVATION_PARTS)
        self.seen["hidden_act"].add(self.activation(narrow, path))
        return self.norm_after(narrow, f"{path}.output", attended)

    def linear_behind(self, tensor: str, path: str, source: str) -> Linear:
        found = self.graph.trace_back(tensor, (*REARRANGING, *SCALING), self.linear_by_output.get)
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers compute this input of attention, but BERT has 1.")
        if not self.same(found[0].input, source):
            raise ConversionError(
                f"{path}: the dense layer {found[0].kernel.source!r} does not take the output of the previous"
                " LayerNorm; this is not a BERT layer."
            )
        return self.take_linear(path, found[0])

    def linear_after(self, tensor: str, path: str, through: tuple[str, ...]) -> Linear:
        found = list(itertools.chain(*self.graph.trace_forward(tensor, through, self.linears_by_input.get)))
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} dense layers follow {tensor!r}, but BERT has 1.")
        return self.take_linear(path, found[0])

    def norm_after(self, linear: Linear, path: str, residual: str) -> str:
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
        """Multiply the query by the factor that some tools fold into it, so that the scale is 1 / √head size."""
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
                linear.input, (*REARRANGING, "Gather", "Slice"), lambda tensor: True if tensor == hidden else None
            )
            if linear.output not in self.used and activated and first_token:
                self.take_linear("pooler.dense", linear)
                return activated[0].output
        return None

    def outputs(self, hidden: str, pooler: str | None) -> dict[str, EncoderTensor | None]:
        def meaning(tensor: str) -> EncoderTensor | None:
            if self.same(tensor, hidden):
                return "last_hidden_state"
            return "pooler_output" if pooler is not None and self.same(tensor, pooler) else None

        return {name: meaning(self.graph.original(name)) for name in self.graph.outputs}

    def config(self, layers: int) -> EncoderConfig:
        for name, values in self.seen.items():
            if len(values) > 1:
                raise ConversionError(f"the layers differ in {name}: {', '.join(map(str, sorted(values, key=str)))}.")
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
        return bool(self.graph.trace_back(tensor, REARRANGING, lambda name: True if name == other else None))

    def take_linear(self, path: str, linear: Linear) -> Linear:
        self.take(f"{path}.kernel", linear.kernel, linear.node)
        # Exporters omit the addition of a bias that is all zeros.
        self.take(f"{path}.bias", linear.bias or zeros(linear.kernel.value.shape[1]), linear.node)
        self.used.add(linear.output)
        return linear

    def take_norm(self, path: str, norm: LayerNorm) -> None:
        self.take(f"{path}.LayerNorm.scale", norm.scale, norm.node)
        self.take(f"{path}.LayerNorm.bias", norm.bias, norm.node)
        self.seen["layer_norm_eps"].add(norm.epsilon)

    def take(self, path: str, weight: Constant, node: str) -> None:
        if not np.isfinite(weight.value).all():
            raise ConversionError(f"{path}: the weight {weight.source!r} contains NaN or infinite values.")
        self.weights[path] = dataclasses.replace(weight, node=node)

    def check_nothing_left(self, tables: EmbeddingTables) -> None:
        needed = self.graph.needed()
        unused = needed - self.used
        for linear in (one for one in self.linears if one.output in unused):
            shape = list(linear.kernel.value.shape)
            raise ConversionError(
                f"the dense layer {linear.kernel.source!r} {shape} is not part of BERT; is it a task head?"
            )
        for lookup in tables.unused(needed):
            shape = list(lookup.table.value.shape)
            raise ConversionError(
                f"the table {lookup.table.source!r} {shape} is not part of BERT; does the model use relative positions?"
            )


def _grouped(blocks: Iterable[Block]) -> dict[str, list[Block]]:
    groups: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        groups[block.input].append(block)
    return groups
