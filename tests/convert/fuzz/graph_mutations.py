"""Mutations of the structure of a graph: the file still parses, but its meaning changes."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import onnx

GraphMutation = Callable[[onnx.ModelProto, Random], None]


def tensor_names(model: onnx.ModelProto) -> list[str]:
    """Return the names of all inputs and outputs of nodes and of all initializers."""
    graph = model.graph
    used = (name for node in graph.node for name in (*node.input, *node.output))
    return sorted({*used, *(tensor.name for tensor in graph.initializer)}) or [""]


def _some_node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto:
    return random.choice(model.graph.node)


def _some_name(model: onnx.ModelProto, random: Random) -> str:
    existing = random.choice(tensor_names(model))
    return random.choices([existing, "", "nowhere", "x" * 2**20], weights=[16, 2, 1, 1])[0]


def _rename_everywhere(model: onnx.ModelProto, random: Random) -> None:
    old, new = random.choice(tensor_names(model)), _some_name(model, random)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name


def _rewire(model: onnx.ModelProto, random: Random) -> None:
    names = random.choice([field for node in model.graph.node for field in (node.input, node.output)])
    if names:
        names[random.randrange(len(names))] = _some_name(model, random)


def _swap_inputs(model: onnx.ModelProto, random: Random) -> None:
    names = _some_node(model, random).input
    names[:] = random.sample(list(names), len(names))


def _drop_inputs(model: onnx.ModelProto, random: Random) -> None:
    node = _some_node(model, random)
    names = random.choice([node.input, node.output])
    del names[random.randint(0, len(names)) :]


def _add_inputs(model: onnx.ModelProto, random: Random) -> None:
    node = _some_node(model, random)
    random.choice([node.input, node.output]).extend(_some_name(model, random) for _ in range(random.randint(1, 5)))


def _drop_node(model: onnx.ModelProto, random: Random) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _duplicate_node(model: onnx.ModelProto, random: Random) -> None:
    model.graph.node.add().CopyFrom(_some_node(model, random))


def _move_node(model: onnx.ModelProto, random: Random) -> None:
    nodes = list(model.graph.node)
    nodes.insert(random.randrange(len(nodes)), nodes.pop(random.randrange(len(nodes))))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _close_a_cycle(model: onnx.ModelProto, random: Random) -> None:
    node, later = _some_node(model, random), _some_node(model, random)
    if node.input and later.output:
        node.input[0] = later.output[0]
        if random.random() < 0.5 and later.input and node.output:
            later.input[0] = node.output[0]


def _bypass(model: onnx.ModelProto, random: Random) -> None:
    node = _some_node(model, random)
    node.op_type, node.domain = "Identity", ""
    del node.attribute[:], node.input[1:], node.output[1:]


def _change_operator(model: onnx.ModelProto, random: Random) -> None:
    node, other = _some_node(model, random), _some_node(model, random)
    node.op_type = random.choice([other.op_type, "", "If", "Loop", *_OPERATORS])
    node.domain = random.choice([other.domain, node.domain, "", "com.microsoft", "evil"])


def _some_values(model: onnx.ModelProto, random: Random) -> Any:
    return random.choice([model.graph.input, model.graph.output, model.graph.initializer, model.opset_import])


def _drop_value(model: onnx.ModelProto, random: Random) -> None:
    values = _some_values(model, random)
    if values:
        del values[random.randrange(len(values))]


def _duplicate_value(model: onnx.ModelProto, random: Random) -> None:
    values = _some_values(model, random)
    if values:
        values.add().CopyFrom(random.choice(values))


def _change_opset(model: onnx.ModelProto, random: Random) -> None:
    if model.opset_import:
        opset = random.choice(model.opset_import)
        opset.version = random.choice([-(2**63), -1, 0, 1, 7, 12, 13, 23, 2**63 - 1])
        opset.domain = random.choice([opset.domain, "", "ai.onnx", "com.microsoft"])


def _add_unsupported_feature(model: onnx.ModelProto, random: Random) -> None:
    def subgraph() -> None:
        attribute = _some_node(model, random).attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
        attribute.g.CopyFrom(onnx.GraphProto(name="inner"))

    random.choice([subgraph, model.functions.add, model.training_info.add, model.graph.sparse_initializer.add])()


def _operators() -> Iterator[str]:
    yield from ("MatMul", "Gemm", "Gather", "Add", "Mul", "Softmax", "Transpose", "Reshape", "Concat", "Split")
    yield from ("Constant", "ConstantOfShape", "Expand", "Tile", "Range", "Slice", "Squeeze", "Unsqueeze", "Cast")
    yield from ("LayerNormalization", "SkipLayerNormalization", "EmbedLayerNormalization", "Attention")
    yield from ("MultiHeadAttention", "QuantizeLinear", "DequantizeLinear", "MatMulNBits", "GatherBlockQuantized")
    yield from ("DynamicQuantizeMatMul", "MatMulInteger", "QLinearMatMul", "MatMulBnb4", "FusedMatMul", "BiasGelu")


_OPERATORS = tuple(_operators())

GRAPH_MUTATIONS: tuple[GraphMutation, ...] = (
    _rename_everywhere,
    _rewire,
    _swap_inputs,
    _drop_inputs,
    _add_inputs,
    _drop_node,
    _duplicate_node,
    _move_node,
    _close_a_cycle,
    _bypass,
    _change_operator,
    _drop_value,
    _duplicate_value,
    _change_opset,
    _add_unsupported_feature,
)
