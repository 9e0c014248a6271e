"""Find the graph inputs that mask attention, by the data flow."""

from collections.abc import Iterator

import onnx

from convert.graph.graph import Graph
from convert.recognition.blocks import REARRANGING

# These operators pass on the values of a mask; a comparison, Sub or Mul changes their meaning.
_THROUGH = (*REARRANGING, "Add", "Slice")
_FLOATS = tuple(map(onnx.TensorProto.DataType.Value, ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")))
_ATTENTION_MASK = 3


def find_masks(graph: Graph) -> dict[str, bool]:
    """Return the inputs of a graph that change attention scores.

    Args:
        graph: The graph.

    Returns:
        By the name of an input, whether its values are added to the scores as they are: 0 for an attended token and a
        large negative number for another. The values of other masks are 1 and 0.
    """
    scores = [node.input(0) for node in graph.nodes if node.op_type == "Softmax"]
    masks = [node.input(_ATTENTION_MASK) for node in graph.nodes if node.op_type == "Attention"]
    reached = graph.ancestors(_scores_only(graph, scores), stop=("Shape",)) | graph.ancestors(masks, stop=("Shape",))
    added = {name for score in scores for name in _added(graph, score)}
    # A boolean mask of an Attention node is not added, and its cast to bool is not visible in the graph.
    added |= {name for mask in masks for name in _added(graph, mask) if graph.types.get(name) in _FLOATS}
    return {name: name in added for name in graph.inputs if name in reached}


def _scores_only(graph: Graph, scores: list[str]) -> Iterator[str]:
    """Yield the tensors that are combined with the products of query and key before each Softmax."""
    for score in scores:
        name: str | None = score
        while name is not None and (node := graph.producer(name)) is not None and node.op_type != "MatMul":
            products = [i for i in node.inputs if _holds_product(graph, i)]
            yield from (other for other in node.inputs if other not in products)
            name = products[0] if products else None


def _holds_product(graph: Graph, name: str) -> bool:
    through = (*REARRANGING, "Add", "Sub", "Mul", "Div", "Where", "Clip", "Max", "Min")
    return bool(graph.trace_back(name, through, lambda tensor: graph.producer(tensor, "MatMul")))


def _added(graph: Graph, name: str) -> list[str]:
    return graph.trace_back(name, _THROUGH, lambda tensor: tensor if tensor in graph.inputs else None)
