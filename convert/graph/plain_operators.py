"""Build the plain operators that replace a fused or quantized node of the file.

New tensors are named after the output of that node. A function that adds a tensor returns its name.
"""

from typing import Any

from convert.graph.constant import Columns, Constant
from convert.graph.graph import Graph
from convert.graph.node import Node
from minilm_jax.errors import ConversionError


def constant_input(graph: Graph, node: Node, index: int) -> Constant:
    """Return the value of an input; raises ConversionError if the input is not constant."""
    constant = graph.constant(node.input(index))
    if constant is None:
        raise ConversionError(f"{node}: input {index} is not constant.")
    return constant


def derive(graph: Graph, node: Node, part: str, constant: Constant) -> str:
    """Add a constant that was computed from the constants of a node."""
    name = f"{node.output}/{part}"
    graph.add_constant(name, constant, node)
    return name


def rename(graph: Graph, node: Node) -> None:
    """Make the first output of a node another name of its first input."""
    graph.rename(node.output, node.input(0), node)
    graph.declare(node.outputs[1:], node)


def dense(graph: Graph, node: Node, x: str, kernel: Constant, bias: str = "") -> None:
    """Add x · kernel + bias as the output of the node."""
    product = f"{node.output}/product" if bias else node.output
    graph.add(Node("MatMul", (x, derive(graph, node, "kernel", kernel)), (product,), name=node.name))
    if bias:
        graph.add(Node("Add", (product, bias), (node.output,), name=node.name))


def plus_bias(graph: Graph, node: Node, x: str, bias: str) -> str:
    """Add x + bias, or return x if there is no bias."""
    if not bias:
        return x
    total = f"{node.output}/with bias"
    graph.add(Node("Add", (x, bias), (total,), name=node.name))
    return total


def gather(graph: Graph, node: Node, table: Constant, ids: str) -> None:
    """Add the lookup of ids in a table as the output of the node."""
    graph.add(Node("Gather", (derive(graph, node, "table", table), ids), node.outputs[:1], name=node.name))


def embedding_sum(
    graph: Graph, node: Node, tables: list[tuple[Constant | None, str]], scale: Constant | None, bias: Constant | None
) -> None:
    """Add the LayerNorm over a sum of table rows, which are looked up by ids or, without ids, by position."""
    total = ""
    for index, (table, ids) in enumerate(tables):
        if table is None:
            continue
        name = derive(graph, node, f"table{index}", table)
        rows = f"{node.output}/rows{index}"
        graph.add(Node("Gather" if ids else "Slice", (name, ids), (rows,), name=node.name))
        if total:
            graph.add(Node("Add", (total, rows), (f"{node.output}/sum{index}",), name=node.name))
        total = f"{node.output}/sum{index}" if total else rows
    if scale is None or bias is None:
        raise ConversionError(f"{node}: its scale and bias are not constant.")
    inputs = (total, derive(graph, node, "scale", scale), derive(graph, node, "bias", bias))
    epsilon = {"epsilon": node.attribute("epsilon", 1e-12)}
    graph.add(Node("LayerNormalization", inputs, node.outputs[:1], epsilon, node.name))
    graph.declare(node.outputs[1:], node)


def merged_attention(graph: Graph, node: Node, kernel: Constant, bias: Constant | None, *, added: str = "") -> None:
    """Add attention over the first input of the node, with a kernel that holds query, key and value side by side.

    `added` is the tensor that is added to the scores, if there is one.
    """
    check_attention(node)
    if "qkv_hidden_sizes" in node.attributes:
        raise ConversionError(f"{node}: query, key and value differ in width, which is not supported.")
    add_attention(graph, node, query_key_value(graph, node, node.input(0), kernel, bias), added=added)


def query_key_value(graph: Graph, node: Node, x: str, kernel: Constant, bias: Constant | None) -> list[str]:
    """Add the dense layers of query, key and value, whose weights are side by side; returns their outputs."""
    width = kernel.value.shape[-1] // 3 if kernel.value.ndim == 2 else 0
    if not width or kernel.value.shape[1] != 3 * width:
        raise ConversionError(f"{node}: {kernel.source!r} does not hold query, key and value side by side.")
    outputs = []
    for index, part in enumerate(("query", "key", "value")):
        columns = Columns(index * width, (index + 1) * width)
        own = kernel.then(columns, kernel.value[:, slice(*columns)])
        product = f"{node.output}/{part}"
        graph.add(Node("MatMul", (x, derive(graph, node, f"{part} kernel", own)), (product,), name=node.name))
        outputs.append(plus_part_of_bias(graph, node, product, bias, columns, part))
    return outputs


def plus_part_of_bias(graph: Graph, node: Node, x: str, bias: Constant | None, columns: Columns, part: str) -> str:
    """Add x + the given columns of a merged bias, or return x if there is no bias."""
    if bias is None:
        return x
    own = bias.then(columns, bias.value.reshape(-1)[slice(*columns)])
    total = f"{node.output}/{part} with bias"
    graph.add(Node("Add", (x, derive(graph, node, f"{part} bias", own)), (total,), {}, node.name))
    return total


def add_attention(graph: Graph, node: Node, parts: list[str], *, added: str = "") -> None:
    """Add the attention of query, key and value as the output of the node, with a tensor added to the scores."""
    attributes: dict[str, Any] = {"q_num_heads": node.attribute("num_heads", 0)}
    if scale := node.attribute("scale", 0.0):
        attributes["scale"] = scale
    graph.add(Node("Attention", (*parts, added), node.outputs[:1], attributes, node.name))


def check_attention(node: Node) -> None:
    """Raise ConversionError if an attention node uses a feature that BERT encoders do not have."""
    for name in ("unidirectional", "do_rotary"):
        if node.attribute(name, 0):
            raise ConversionError(f"{node} sets {name}, which BERT encoders do not use.")
