"""An ONNX graph in plain operators: what is fused, quantised or only a new name becomes what it stands for.

The rest of the converter then knows MatMul, Add, LayerNormalization, Attention and so on only.
"""

import numpy as np
import onnx

from convert.graph import constants
from convert.graph.fused_operators import FUSED
from convert.graph.graph import Graph, Lower, Node
from convert.graph.plain_operators import rename
from convert.graph.quantized_operators import QUANTIZED
from minilm_jax.errors import ConversionError

# What constants and settings that do not fit each other make of it.
_NUMPYS_ERRORS = (ValueError, TypeError, IndexError, KeyError, OverflowError)
# Operators that compute nothing here: a cast is undone in the weights, and no dropout is left in a graph for inference.
_RENAMING: dict[str, Lower] = {name: rename for name in ("Identity", "Dropout", "Cast", "CastLike")}
_LOWERED = _RENAMING | FUSED | QUANTIZED
# Operators of com.microsoft's that mean what ONNX's own of the same name do.
_PLAIN_BUT_FOREIGN = ("Gelu", "Gather", "LayerNormalization")


def plain_graph(model: onnx.ModelProto) -> Graph:
    """Reads the graph of a model.

    Args:
        model: A checked model, see `convert.reading.onnx_file`.

    Returns:
        Its graph, in plain operators.

    Raises:
        ConversionError: An operator is unknown or damaged, or the nodes are not in the order of computation.
    """
    graph = Graph(model)
    # What is not finite in the end is refused where it is taken as a weight.
    with np.errstate(all="ignore"):
        for proto in model.graph.node:
            node = graph.resolved(Node.of(proto))
            try:
                _lower(graph, node, proto.domain)
            except _NUMPYS_ERRORS as error:
                raise ConversionError(f"{node} cannot be computed: {error!s:.200}.") from None
    return graph


def _lower(graph: Graph, node: Node, domain: str) -> None:
    if (folded := constants.fold(graph, node)) is not None:
        graph.add_constant(node.output, folded, node)
    elif node.op_type in _LOWERED:
        _LOWERED[node.op_type](graph, node)
    elif domain == "com.microsoft" and node.op_type not in _PLAIN_BUT_FOREIGN:
        raise ConversionError(f"{node} is an operator of com.microsoft's that no BERT encoder is known to need.")
    else:
        graph.add(node)
