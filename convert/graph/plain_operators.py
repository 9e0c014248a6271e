"""The plain operators that fused and quantised ones stand for, added to a graph around a node of the file.

Their names derive from the node's output; a function that makes a tensor returns its name.
"""

from typing import Any

from convert.graph.graph import Constant, Graph, Node
from minilm_jax.errors import ConversionError


def wanted(graph: Graph, node: Node, index: int) -> Constant:
    """Returns an input that must be constant; raises ConversionError if it is not."""
    constant = graph.constant(node.input(index))
    if constant is None:
        raise ConversionError(f"{node}: its input {index} is not constant.")
    return constant


def derive(graph: Graph, node: Node, part: str, constant: Constant) -> str:
    """Adds a constant that was computed from those of a node."""
    name = f"{node.output}/{part}"
    graph.add_constant(name, constant, node)
    return name


def rename(graph: Graph, node: Node) -> None:
    """Makes the first output of a node another name of its first input."""
    graph.rename(node.output, node.input(0), node)
    graph.declare(node.outputs[1:], node)


def dense(graph: Graph, node: Node, x: str, kernel: Constant, bias: str = "") -> None:
    """Adds x · kernel + bias, which makes the output of the node."""
    product = f"{node.output}/product" if bias else node.output
    graph.add(Node("MatMul", (x, derive(graph, node, "kernel", kernel)), (product,), name=node.name))
    if bias:
        graph.add(Node("Add", (product, bias), (node.output,), name=node.name))


def plus_bias(graph: Graph, node: Node, x: str, bias: str) -> str:
    """Adds x + bias, where there is one."""
    if not bias:
        return x
    moved = f"{node.output}/with bias"
    graph.add(Node("Add", (x, bias), (moved,), name=node.name))
    return moved


def gather(graph: Graph, node: Node, table: Constant, ids: str) -> None:
    """Adds the lookup of ids in a table, which makes the output of the node."""
    graph.add(Node("Gather", (derive(graph, node, "table", table), ids), node.outputs[:1], name=node.name))


def embedding_sum(
    graph: Graph, node: Node, tables: list[tuple[Constant | None, str]], scale: Constant | None, bias: Constant | None
) -> None:
    """Adds the normalised sum of rows of tables, by ids or, without, by position."""
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
        raise ConversionError(f"{node} has no constant scale and bias.")
    inputs = (total, derive(graph, node, "scale", scale), derive(graph, node, "bias", bias))
    epsilon = {"epsilon": node.attribute("epsilon", 1e-12)}
    graph.add(Node("LayerNormalization", inputs, node.outputs[:1], epsilon, node.name))
    graph.declare(node.outputs[1:], node)


def packed_attention(graph: Graph, node: Node, kernel: Constant, bias: Constant | None) -> None:
    """Adds attention whose query, key and value kernels lie side by side, of the first input of the node."""
    refuse_unless_bert(node)
    if "qkv_hidden_sizes" in node.attributes:
        raise ConversionError(f"{node}: query, key and value are not of one width.")
    add_attention(graph, node, thirds(graph, node, node.input(0), kernel, bias))


def thirds(graph: Graph, node: Node, x: str, kernel: Constant, bias: Constant | None) -> list[str]:
    """Adds the dense layers of query, key and value, whose weights lie side by side; returns what they make."""
    width = kernel.value.shape[-1] // 3 if kernel.value.ndim == 2 else 0
    if not width or kernel.value.shape[1] != 3 * width:
        raise ConversionError(f"{node}: {kernel.source!r} does not hold query, key and value side by side.")
    made = []
    for index, part in enumerate(("query", "key", "value")):
        columns = slice(index * width, (index + 1) * width)
        own = kernel.then(f"columns {columns.start}:{columns.stop}", kernel.value[:, columns])
        product = f"{node.output}/{part}"
        graph.add(Node("MatMul", (x, derive(graph, node, f"{part} kernel", own)), (product,), name=node.name))
        made.append(plus_part_of_bias(graph, node, product, bias, columns, part))
    return made


def plus_part_of_bias(graph: Graph, node: Node, x: str, bias: Constant | None, columns: slice, part: str) -> str:
    """Adds x + the columns of a packed bias that belong to it, where there is one."""
    if bias is None:
        return x
    own = bias.then(f"columns {columns.start}:{columns.stop}", bias.value.reshape(-1)[columns])
    moved = f"{node.output}/{part} with bias"
    graph.add(Node("Add", (x, derive(graph, node, f"{part} bias", own)), (moved,), {}, node.name))
    return moved


def add_attention(graph: Graph, node: Node, parts: list[str]) -> None:
    """Adds the attention of query, key and value, which makes the output of the node."""
    attributes: dict[str, Any] = {"q_num_heads": node.attribute("num_heads", 0)}
    if scale := node.attribute("scale", 0.0):
        attributes["scale"] = scale
    graph.add(Node("Attention", tuple(parts), node.outputs[:1], attributes, node.name))


def refuse_unless_bert(node: Node) -> None:
    """Raises ConversionError for attention that a BERT encoder does not have."""
    for name in ("unidirectional", "do_rotary"):
        if node.attribute(name, 0):
            raise ConversionError(f"{node} is {name}; a BERT encoder's attention is not.")
