"""Rewrite Einsum as MatMul between Transpose and Reshape, and a lookup by one-hot vectors as Gather.

TensorFlow's BERT computes its dense layers and its attention with Einsum, and its token types with OneHot.
"""

import math
from collections.abc import Sequence

import numpy as np

from convert.graph.constant import Constant
from convert.graph.graph import Graph, Lower
from convert.graph.node import Node
from convert.graph.plain_operators import derive, gather


def _einsum(graph: Graph, node: Node) -> None:
    terms = node.attribute("equation", b"").decode(errors="replace").replace(" ", "").replace("->", ",").split(",")
    if len(terms) != 3 or len(node.inputs) != 2 or not all(_is_plain(term) for term in terms):
        return graph.add(node)
    for x, kernel in ((0, 1), (1, 0)):
        constant = graph.constant(node.input(kernel))
        if constant is not None and constant.value.ndim == len(terms[kernel]):
            return _dense(graph, node, node.input(x), constant, (terms[x], terms[kernel], terms[2]))
    return _product(graph, node, terms)


def _is_plain(term: str) -> bool:
    return term.isalpha() and len(set(term)) == len(term)


def _dense(graph: Graph, node: Node, x: str, kernel: Constant, terms: tuple[str, str, str]) -> None:
    ours, theirs, out = terms
    summed = [letter for letter in ours if letter in theirs]
    kept, added = [c for c in ours if c not in summed], [c for c in theirs if c not in summed]
    if any(letter in out for letter in summed) or out != "".join(kept + added) or not summed or not added:
        return graph.add(node)
    sizes = dict(zip(theirs, kernel.value.shape, strict=True))
    values = kernel.value.transpose([theirs.index(letter) for letter in summed + added])
    matrix = values.reshape(math.prod(sizes[letter] for letter in summed), -1)
    x = _transposed(graph, node, "rows", x, ours, kept + summed)
    if len(summed) > 1:
        x = _reshaped(graph, node, f"{node.output}/flat", x, [0] * len(kept) + [len(matrix)])
    weight = derive(graph, node, "kernel", kernel.then("Einsum", matrix))
    product = f"{node.output}/product" if len(added) > 1 else node.output
    graph.add(Node("MatMul", (x, weight), (product,), name=node.name))
    if len(added) > 1:
        _reshaped(graph, node, node.output, product, [0] * len(kept) + [sizes[letter] for letter in added])
    return None


def _product(graph: Graph, node: Node, terms: Sequence[str]) -> None:
    """Add the product of two activations, such as query and key, whose rows come first in the output."""
    out = terms[2]
    batch = [c for c in out if c in terms[0] and c in terms[1]]
    summed = [c for c in terms[0] if c in terms[1] and c not in out]
    rows = [[c for c in term if c not in batch + summed] for term in terms[:2]]
    if len(summed) != 1 or any(len(own) != 1 or own[0] not in out for own in rows):
        return graph.add(node)
    left, right = (0, 1) if out.index(rows[0][0]) < out.index(rows[1][0]) else (1, 0)
    first = _transposed(graph, node, "left", node.input(left), terms[left], batch + rows[left] + summed)
    second = _transposed(graph, node, "right", node.input(right), terms[right], batch + summed + rows[right])
    order = batch + rows[left] + rows[right]
    product = node.output if order == list(out) else f"{node.output}/product"
    graph.add(Node("MatMul", (first, second), (product,), name=node.name))
    if product != node.output:
        perm = {"perm": [order.index(letter) for letter in out]}
        graph.add(Node("Transpose", (product,), (node.output,), perm, node.name))
    return None


def _transposed(graph: Graph, node: Node, part: str, tensor: str, letters: str, order: list[str]) -> str:
    if list(letters) == order:
        return tensor
    name = f"{node.output}/{part}"
    perm = {"perm": [letters.index(letter) for letter in order]}
    graph.add(Node("Transpose", (tensor,), (name,), perm, node.name))
    return name


def _reshaped(graph: Graph, node: Node, name: str, tensor: str, sizes: list[int]) -> str:
    shape = derive(graph, node, f"shape of {name}", Constant(np.array(sizes, np.int64), "shape"))
    graph.add(Node("Reshape", (tensor, shape), (name,), name=node.name))
    return name


def _add(graph: Graph, node: Node) -> None:
    """Add a bias [N, H] of heads before the Reshape to heads, as a bias [N · H]."""
    operand = graph.constant_operand(node)
    split = graph.producer(operand[1], "Reshape") if operand is not None else None
    shape = graph.constant(split.input(1)) if split is not None else None
    if operand is None or split is None or shape is None or operand[0].value.ndim != 2:
        return graph.add(node)
    bias = operand[0]
    if tuple(shape.value.reshape(-1)[-2:]) != bias.value.shape:
        return graph.add(node)
    flat = derive(graph, node, "bias", bias.then("Reshape", bias.value.reshape(-1)))
    graph.add(Node("Add", (split.input(0), flat), (f"{node.output}/biased",), name=node.name))
    graph.add(Node("Reshape", (f"{node.output}/biased", split.input(1)), node.outputs, name=split.name))
    return None


def _matmul(graph: Graph, node: Node) -> None:
    one_hot, table = graph.producer(node.input(0), "OneHot"), graph.constant(node.input(1))
    if one_hot is None or table is None or table.value.ndim != 2:
        return graph.add(node)
    depth, values = graph.constant(one_hot.input(1)), graph.constant(one_hot.input(2))
    if depth is None or values is None or depth.value.size != 1 or one_hot.attribute("axis", -1) != -1:
        return graph.add(node)
    if int(depth.value.reshape(())) != len(table.value) or values.value.reshape(-1).tolist() != [0, 1]:
        return graph.add(node)
    return gather(graph, node, table, one_hot.input(0))


SUMS: dict[str, Lower] = {"Einsum": _einsum, "Add": _add, "MatMul": _matmul}
