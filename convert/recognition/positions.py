"""Find how a graph numbers the positions of tokens: from 0 as in BERT, or after the padding id as in RoBERTa."""

import dataclasses

import numpy as np

from convert.graph.graph import Graph
from convert.graph.node import Node
from convert.recognition.blocks import REARRANGING
from minilm_jax.errors import ConversionError

_THROUGH = (*REARRANGING, "Slice", "Add", "Mul")


@dataclasses.dataclass(frozen=True)
class Positions:
    """The numbering of positions.

    Attributes:
        padding_idx: None for 0, 1, 2, …; otherwise the first position is padding_idx + 1.
        counted: Whether the graph counts the tokens that are not padding; else the positions depend only on the length.
    """

    padding_idx: int | None = None
    counted: bool = False


def find_positions(graph: Graph, ids: str) -> Positions:
    """Return how a graph computes the ids of its position table.

    Args:
        graph: The graph.
        ids: The tensor that selects rows of the position table, "" if the rows are taken in order.

    Returns:
        The numbering.

    Raises:
        ConversionError: The positions are neither those of BERT nor those of RoBERTa.
    """
    counts = graph.trace_back(ids, _THROUGH, lambda tensor: graph.producer(tensor, "CumSum"))
    if counts:
        return Positions(_padding_idx(graph, ids, counts[0]), counted=True)
    start = _start(graph, ids)
    return Positions(start - 1 if start else None)


def _padding_idx(graph: Graph, ids: str, count: Node) -> int:
    # RoBERTa computes padding_idx + CumSum(is_text) · is_text, where is_text = (input_ids != padding_idx).
    comparisons = graph.trace_back(
        count.input(0), (*REARRANGING, "Not", "Sub"), lambda tensor: graph.producer(tensor, "Equal")
    )
    compared = graph.constant_operand(comparisons[0]) if len(comparisons) == 1 else None
    if compared is None or compared[0].value.size != 1:
        raise ConversionError(f"{count} counts positions, but not of the tokens that differ from a padding id.")
    added = sum(_constant_summand(graph, node) for node in graph.path_back(ids, _THROUGH, count.output))
    padding_idx = int(compared[0].value.reshape(()))
    if added != padding_idx:
        raise ConversionError(
            f"{count} counts the tokens that differ from {padding_idx}, and adds {added}; RoBERTa adds the same number."
        )
    return padding_idx


def _constant_summand(graph: Graph, node: Node) -> int:
    operand = graph.constant_operand(node) if node.op_type == "Add" else None
    return int(operand[0].value.reshape(-1)[0]) if operand is not None and operand[0].value.size == 1 else 0


def _start(graph: Graph, ids: str) -> int:
    """Return the first of consecutive positions; 0 if the caller passes them or their computation is not understood."""
    start, name = 0, ids
    while graph.constant(name) is None:
        node = graph.producer(name, "Add", "Range", "Slice", *REARRANGING)
        if node is None:
            return 0
        if node.op_type == "Slice":
            start += _first(graph, node.input(1))
        start += _constant_summand(graph, node)
        operand = graph.constant_operand(node) if node.op_type == "Add" else None
        name = operand[1] if operand is not None else node.input(0)
    return start + _first(graph, name)


def _first(graph: Graph, name: str) -> int:
    constant = graph.constant(name)
    flat = np.zeros(1) if constant is None else constant.value.reshape(-1)
    if constant is None or not flat.size:
        return 0
    # All rows of a batch have the same positions.
    last = constant.value.reshape(-1, constant.value.shape[-1] if constant.value.ndim else 1)
    consecutive = np.broadcast_to(flat[0] + np.arange(last.shape[1]), last.shape)
    if not np.isfinite(flat[0]) or not np.array_equal(last, consecutive):
        raise ConversionError(f"the position ids {constant.source!r} are not consecutive, as in BERT.")
    return int(flat[0])
