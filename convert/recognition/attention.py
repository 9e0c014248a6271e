"""Find the attention blocks of a graph, the size of their heads and the scale of their scores."""

import dataclasses
import math

from convert.graph.graph import Graph
from convert.graph.node import Node
from convert.recognition.blocks import MASKING, REARRANGING, SCALING, Linear
from minilm_jax.errors import ConversionError

_THROUGH = (*REARRANGING, *SCALING)
# Rounding to bfloat16 changes scale constants by less than this relative error.
_SAME_SCALE = 1e-2
_SMALLEST_SCALE = 1e-9


@dataclasses.dataclass(frozen=True)
class Attention:
    """An attention block, softmax(query · keyᵀ · scale) · value.

    Attributes:
        query: The tensor that is multiplied by keyᵀ.
        key: The tensor whose transpose it is multiplied by.
        value: The tensor that the attention weights are multiplied by.
        output: The result.
        heads: Number of heads, or None if no node states it.
        scale: The factor of the scores, or None if it is 1 / √head size or computed by the graph.
    """

    query: str
    key: str
    value: str
    output: str
    heads: int | None
    scale: float | None


def find_attentions(graph: Graph) -> list[Attention]:
    """Return the attention blocks in the order of computation: Attention nodes, or a Softmax between two MatMuls."""
    found = []
    for node in graph.nodes:
        if node.op_type == "Attention":
            heads, scale = node.attribute("q_num_heads", 0) or None, node.attribute("scale", 0.0) or None
            found.append(Attention(node.input(0), node.input(1), node.input(2), node.output, heads, scale))
        elif node.op_type == "Softmax" and (attention := _around_softmax(graph, node)) is not None:
            found.append(attention)
    return found


def _around_softmax(graph: Graph, softmax: Node) -> Attention | None:
    def product(tensor: str) -> Node | None:
        node = graph.producer(tensor, "MatMul")
        return node if node is not None and graph.constant_operand(node) is None else None

    before = (*REARRANGING, *SCALING, *MASKING)
    # Some exporters add Where(IsNaN(...), 0, ...) for rows that attend to nothing; onnx's version converter adds
    # Reshapes around a Softmax.
    after = (*REARRANGING, "Where")
    scores = graph.trace_back(softmax.input(0), before, product)
    mixed = graph.trace_forward(softmax.output, (*after, "MatMul"), product)
    if len(scores) != 1 or len(mixed) != 1:
        return None
    query, key = scores[0].input(0), scores[0].input(1)
    weights_first = graph.trace_back(mixed[0].input(0), after, lambda t: t == softmax.output or None)
    value = mixed[0].input(1) if weights_first else mixed[0].input(0)
    factor = _scaling(graph, softmax.input(0), before, scores[0].output)
    return Attention(query, key, value, mixed[0].output, None, factor)


def head_size(graph: Graph, path: str, attention: Attention, query: Linear) -> int:
    """Return the size of the heads that a query is split into.

    Args:
        graph: The graph.
        path: Path of the layer in the parameter tree, for messages.
        attention: The block.
        query: The dense layer that computes its query.

    Returns:
        The width of one head.

    Raises:
        ConversionError: The graph does not state the head size.
    """
    width = query.kernel.value.shape[1]
    if attention.heads:
        return max(1, width // attention.heads)
    # A Reshape of the query splits it into [B, T, N, H], where N and H are constants or one of them is -1.
    for node in graph.path_back(attention.query, _THROUGH, query.output):
        heads, size = _last_sizes(graph, node.input(1)) if node.op_type == "Reshape" else (0, 0)
        if 0 < size < width or heads == 1:
            return min(size, width) if size > 0 else width
        if size < 0 < heads:
            return max(1, width // heads)
    raise ConversionError(f"{path}: the query is not split into heads by a Reshape with a constant head size.")


def folded_scale(graph: Graph, path: str, attention: Attention, query: Linear, key: Linear, size: int) -> float:
    """Return the factor by which a graph's attention scale differs from that of BERT, 1 / √head size.

    Args:
        graph: The graph.
        path: Path of the layer in the parameter tree, for messages.
        attention: The block.
        query: The dense layer that computes its query.
        key: The dense layer that computes its key.
        size: The size of a head.

    Returns:
        The factor by which the query's weights must be multiplied, so that BERT's scale gives the same scores; 1 if
        the scale is that of BERT or is computed by the graph.

    Raises:
        ConversionError: The scale is zero, infinite or otherwise out of range.
    """
    factors = (
        attention.scale,
        _scaling(graph, attention.query, _THROUGH, query.output),
        _scaling(graph, attention.key, _THROUGH, key.output),
    )
    known = [factor for factor in factors if factor is not None]
    folded = math.prod(known) * math.sqrt(size)
    if len(known) < len(factors) or abs(folded - 1) < _SAME_SCALE:
        return 1.0
    if not _SMALLEST_SCALE < abs(folded) < 1 / _SMALLEST_SCALE:
        raise ConversionError(f"{path}: attention multiplies its scores by {math.prod(known)}, which is out of range.")
    return folded


def _scaling(graph: Graph, tensor: str, through: tuple[str, ...], source: str) -> float | None:
    """Return the factor between `source` and `tensor`, or None if the graph computes it."""
    factor = 1.0
    for node in graph.path_back(tensor, through, source):
        if node.op_type in SCALING:
            operand = graph.constant_operand(node)
            if operand is None or operand[0].value.size != 1:
                return None
            number = float(operand[0].value.reshape(()))
            if number == 0:
                return None
            factor *= 1 / number if node.op_type == "Div" else number
    return factor


def _last_sizes(graph: Graph, shape: str) -> tuple[int, int]:
    """Return the last two sizes of a shape, 0 for one that is not constant."""
    concat = graph.producer(shape, "Concat")
    sizes: list[int] = []
    for name in reversed((shape,) if concat is None else concat.inputs):
        constant = graph.constant(name)
        is_shape = constant is not None and constant.value.dtype.kind == "i"
        sizes = [*(map(int, constant.value.reshape(-1)[-2:]) if constant is not None and is_shape else (0,)), *sizes]
        if len(sizes) > 1:
            return sizes[-2], sizes[-1]
    return 0, 0
