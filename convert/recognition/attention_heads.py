"""The heads of an attention block: their size, and how its scores are scaled."""

import math
from typing import Any

from convert.graph.graph import Graph
from convert.recognition.blocks import LAYOUT, SCALING, Attention, Linear, scaling
from minilm_jax.errors import ConversionError

_THROUGH = (*LAYOUT, *SCALING)
# Scale constants are off by their rounding, to bfloat16 at the worst.
_SAME_SCALE = 1e-2
_SMALLEST_SCALE = 1e-9


def head_size(graph: Graph, path: str, attention: Attention, query: Linear) -> int:
    """Measures the heads that a query is split into.

    Args:
        graph: The graph.
        path: Of the layer, for messages.
        attention: The block.
        query: The dense layer that makes its query.

    Returns:
        How wide one head is.

    Raises:
        ConversionError: The graph does not tell.
    """
    width = query.kernel.value.shape[1]
    if attention.heads:
        return max(1, width // attention.heads)
    # A Reshape on the query's way splits it into [B, T, N, H]; N and H are constants, or one of them is -1.
    for node in graph.path_back(attention.query, _THROUGH, query.output):
        heads, size = _last_sizes(graph, node.input(1)) if node.op_type == "Reshape" else (0, 0)
        if 0 < size < width or heads == 1:
            return min(size, width) if size > 0 else width
        if size < 0 < heads:
            return max(1, width // heads)
    raise ConversionError(f"{path}: the query is not split into heads by a Reshape of constant head size.")


def folded_scale(graph: Graph, path: str, attention: Attention, query: Linear, key: Linear, size: int) -> float:
    """Compares the scale of an attention block's scores with BERT's, 1 / √head size.

    Args:
        graph: The graph.
        path: Of the layer, for messages.
        attention: The block.
        query: The dense layer that makes its query.
        key: The one that makes its key.
        size: Of a head.

    Returns:
        What the query's weights were divided by, so that the graph's scale fits them; 1 if it is BERT's or computed.

    Raises:
        ConversionError: The scale is out of all bounds.
    """
    factors = (
        attention.scale,
        scaling(graph, attention.query, _THROUGH, query.output),
        scaling(graph, attention.key, _THROUGH, key.output),
    )
    known = [factor for factor in factors if factor is not None]
    folded = math.prod(known) * math.sqrt(size)
    if len(known) < len(factors) or abs(folded - 1) < _SAME_SCALE:
        return 1.0
    if not _SMALLEST_SCALE < abs(folded) < 1 / _SMALLEST_SCALE:
        raise ConversionError(f"{path}: attention multiplies its scores with {math.prod(known)}.")
    return folded


def _last_sizes(graph: Graph, shape: str) -> tuple[int, int]:
    constant, concat = graph.constant(shape), graph.producer(shape, "Concat")
    if constant is not None and constant.value.ndim == 1 and constant.value.size >= 2:
        return _whole(constant.value[-2]), _whole(constant.value[-1])
    parts = [graph.constant(name) for name in concat.inputs[-2:]] if concat is not None else []
    sizes = [_whole(part.value) if part is not None else 0 for part in parts]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (0, 0)


def _whole(number: Any) -> int:
    """Returns a constant's one whole number, or 0 if it is none."""
    return int(number.reshape(())) if number.size == 1 and number.dtype.kind == "i" else 0
