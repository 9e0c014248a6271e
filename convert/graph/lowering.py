"""Lower an ONNX graph to plain operators: fused and quantized operators are rewritten, renamings resolved.

The rest of the converter then handles only MatMul, Add, LayerNormalization, Attention and the like.
"""

import numpy as np
import onnx

from convert.graph.einsum import SUMS
from convert.graph.folding import fold
from convert.graph.fused_operators import FUSED
from convert.graph.graph import Graph, Lower
from convert.graph.node import Node
from convert.graph.plain_operators import rename
from convert.graph.quantized_operators import QUANTIZED
from minilm_jax.errors import ConversionError

# numpy raises these errors for constants and settings that do not match.
_NUMPY_ERRORS = (ValueError, TypeError, IndexError, KeyError, OverflowError)
# These operators are ignored, because all weights become float32 and inference does not use dropout.
_RENAMING: dict[str, Lower] = {name: rename for name in ("Identity", "Dropout", "Cast", "CastLike")}
_LOWERED = _RENAMING | FUSED | QUANTIZED | SUMS
# These operators of com.microsoft are defined like the ONNX operators of the same name.
_SAME_AS_ONNX = ("Gelu", "Gather", "LayerNormalization")


def plain_graph(model: onnx.ModelProto) -> Graph:
    """Return the graph of a model in plain operators.

    Args:
        model: A checked model, see `convert.reading.onnx_file`.

    Returns:
        The graph.

    Raises:
        ConversionError: An operator is unsupported or damaged, or the nodes are not in the order of computation.
    """
    graph = Graph(model)
    # Values that overflow here are rejected later, if a weight contains them.
    with np.errstate(all="ignore"):
        for proto in model.graph.node:
            node = graph.resolved(Node.of(proto))
            try:
                _lower(graph, node, proto.domain)
            except _NUMPY_ERRORS as error:
                raise ConversionError(f"{node} cannot be computed: {error!s:.200}.") from None
    return graph


def _lower(graph: Graph, node: Node, domain: str) -> None:
    if (folded := fold(graph, node, domain)) is not None:
        for name, constant in zip(filter(None, node.outputs), folded, strict=False):
            graph.add_constant(name, constant, node)
            graph.folded[name] = node
    elif node.op_type in _LOWERED:
        _LOWERED[node.op_type](graph, node)
    elif domain == "com.microsoft" and node.op_type not in _SAME_AS_ONNX:
        raise ConversionError(f"{node} is a com.microsoft operator that BERT encoders do not use.")
    else:
        graph.add(node)
