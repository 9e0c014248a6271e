"""Rewrite a real graph manually, as tools do that are not installed; its outputs stay the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

Rewrite = Callable[[onnx.ModelProto], onnx.ModelProto]


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def arrays(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the values of Constant nodes by the name of their output."""
    nodes = [node for node in model.graph.node if node.op_type == "Constant"]
    return {node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in nodes}


def set_initializers(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> None:
    """Replace all initializers."""
    del model.graph.initializer[:]
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())


def set_nodes(model: onnx.ModelProto, nodes: list[NodeProto]) -> None:
    """Replace all nodes."""
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def kernels(model: onnx.ModelProto) -> list[str]:
    """Return the names of the weights of all MatMul nodes."""
    held = arrays(model)
    return [node.input[1] for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in held]


def anonymous(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the names of all tensors except inputs and outputs by numbers, and remove the names of nodes."""
    model = copied(model)
    kept = {value.name: value.name for value in (*model.graph.input, *model.graph.output)}
    names = kept | {"": ""}

    def number(name: str) -> str:
        return names.setdefault(name, str(len(names)))

    for tensor in model.graph.initializer:
        tensor.name = number(tensor.name)
    for node in model.graph.node:
        node.name = ""
        node.input[:] = map(number, node.input)
        node.output[:] = map(number, node.output)
    del model.graph.value_info[:]
    return model


def constant_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every initializer by a Constant node."""
    model = copied(model)
    made = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    set_nodes(model, [*made, *model.graph.node])
    del model.graph.initializer[:]
    return model


def behind(op: str) -> Rewrite:
    """Return a rewrite that stores every kernel in another form and adds nodes that restore it.

    Args:
        op: One of "Transpose", "TransposeTwice", "Cast", "Identity", "Reshape" or "Concat".
    """

    def stored(name: str, value: np.ndarray) -> tuple[dict[str, np.ndarray], list[NodeProto]]:
        first = f"{name}_stored"
        if op == "Transpose":
            return {first: value.T.copy()}, [helper.make_node("Transpose", [first], [name], perm=[1, 0])]
        if op == "TransposeTwice":
            once = helper.make_node("Transpose", [first], [f"{name}_once"])
            return {first: value}, [once, helper.make_node("Transpose", [f"{name}_once"], [name], perm=[1, 0])]
        if op == "Cast":
            return {first: value.astype(np.float16)}, [helper.make_node("Cast", [first], [name], to=TensorProto.FLOAT)]
        if op == "Identity":
            return {first: value}, [helper.make_node("Identity", [first], [name])]
        if op == "Reshape":
            shape = f"{name}_shape"
            held = {first: value.reshape(-1), shape: np.array(value.shape, np.int64)}
            return held, [helper.make_node("Reshape", [first, shape], [name])]
        half = value.shape[1] // 2
        parts = {f"{name}_left": value[:, :half].copy(), f"{name}_right": value[:, half:].copy()}
        return parts, [helper.make_node("Concat", list(parts), [name], axis=1)]

    def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
        model = copied(model)
        held, nodes = arrays(model), []
        for name in kernels(model):
            values, made = stored(name, held.pop(name))
            held |= values
            nodes += made
        set_initializers(model, held)
        set_nodes(model, [*nodes, *model.graph.node])
        return model

    return rewrite


def gemm(transposed: int) -> Rewrite:
    """Return a rewrite that replaces MatMul and Add by Gemm on flattened tokens, with the given `transB`."""

    def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
        model = copied(model)
        held, nodes, dropped = arrays(model), [], set()
        adds = {name: node for node in model.graph.node if node.op_type == "Add" for name in node.input}
        for node in model.graph.node:
            add = adds.get(node.output[0])
            if node.op_type == "MatMul" and node.input[1] in held and add is not None:
                nodes += flattened(node, add, held, transposed)
                dropped.add(add.output[0])
            elif node.output[0] not in dropped:
                nodes.append(node)
        set_initializers(model, held)
        set_nodes(model, nodes)
        return model

    return rewrite


def flattened(node: NodeProto, add: NodeProto, held: dict[str, np.ndarray], transposed: int) -> list[NodeProto]:
    """Return Reshape, Gemm and Reshape nodes that replace a MatMul and an Add.

    Args:
        node: The MatMul.
        add: The Add of its bias.
        held: Initializers; shapes are added, and the kernel is transposed if `transposed`.
        transposed: The attribute `transB`.
    """
    kernel, out = node.input[1], add.output[0]
    bias = next(name for name in add.input if name != node.output[0])
    rows, columns = held[kernel].shape
    if transposed:
        held[kernel] = held[kernel].T.copy()
    held["flat_shape_" + str(rows)] = np.array([-1, rows], np.int64)
    held["width_" + str(columns)] = np.array([columns], np.int64)
    held |= {"zero": np.array([0], np.int64), "two": np.array([2], np.int64)}
    return [
        helper.make_node("Shape", [node.input[0]], [f"{out}_shape"]),
        helper.make_node("Slice", [f"{out}_shape", "zero", "two"], [f"{out}_lead"]),
        helper.make_node("Concat", [f"{out}_lead", f"width_{columns}"], [f"{out}_full"], axis=0),
        helper.make_node("Reshape", [node.input[0], f"flat_shape_{rows}"], [f"{out}_flat"]),
        helper.make_node("Gemm", [f"{out}_flat", kernel, bias], [f"{out}_gemm"], transB=transposed),
        helper.make_node("Reshape", [f"{out}_gemm", f"{out}_full"], [out]),
    ]


def swapped_adds(model: onnx.ModelProto) -> onnx.ModelProto:
    """Swap the operands of every Add and of every Mul."""
    model = copied(model)
    for node in model.graph.node:
        if node.op_type in ("Add", "Mul"):
            node.input[:] = list(reversed(node.input))
    return model


def duplicated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every consumer of a vector its own copy, so that the original is unused."""
    model = copied(model)
    held = arrays(model)
    copies = dict(held)
    for index, node in enumerate(model.graph.node):
        for place, name in enumerate(node.input):
            if name in held and held[name].ndim < 2:
                node.input[place] = f"{name}_copy{index}"
                copies[node.input[place]] = held[name]
    set_initializers(model, copies)
    return model


def attentions(model: onnx.ModelProto) -> list[tuple[NodeProto, ...]]:
    """Return (MatMul, Add) of query, key and value for each layer of an eager TorchScript graph."""
    nodes = {node.name: node for node in model.graph.node}
    found = []
    for layer in range(sum(node.op_type == "Softmax" for node in model.graph.node)):
        path = f"/encoder/layer.{layer}/attention/self"
        found.append(tuple(nodes[f"{path}/{p}/{op}"] for p in ("query", "key", "value") for op in ("MatMul", "Add")))
    return found


def folded_scale(model: onnx.ModelProto) -> onnx.ModelProto:
    """Multiply the weights and biases of the queries by the scale of the scores, and remove the Div."""
    model = copied(model)
    held, known, renamed, nodes = arrays(model), constants(model), {}, []
    scale = 1.0
    for node in model.graph.node:
        if node.op_type == "Div" and node.name.endswith("attention/self/Div"):
            scale = 1.0 / float(known[node.input[1]])
            renamed[node.output[0]] = node.input[0]
            continue
        node.input[:] = [renamed.get(name, name) for name in node.input]
        nodes.append(node)
    for matmul, add, *_ in attentions(model):
        bias = next(name for name in add.input if name != matmul.output[0])
        for name in (matmul.input[1], bias):
            held[name] = (held[name] * scale).astype(np.float32)
    set_initializers(model, held)
    set_nodes(model, nodes)
    return model


def merged(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute query, key and value with one MatMul and one Add, followed by a Split."""
    model = copied(model)
    held = arrays(model)
    made: dict[str, list[NodeProto]] = {}
    dropped = set()
    for layer, found in enumerate(attentions(model)):
        matmuls, adds = found[::2], found[1::2]
        biases = [next(n for n in a.input if n != m.output[0]) for m, a in zip(matmuls, adds, strict=True)]
        name = f"packed{layer}"
        held[f"{name}.w"] = np.concatenate([held.pop(node.input[1]) for node in matmuls], 1)
        held[f"{name}.b"] = np.concatenate([held.pop(bias) for bias in biases])
        held["sizes"] = np.full(3, held[f"{name}.w"].shape[0], np.int64)
        made[matmuls[0].name] = [
            helper.make_node("MatMul", [matmuls[0].input[0], f"{name}.w"], [f"{name}.mm"]),
            helper.make_node("Add", [f"{name}.mm", f"{name}.b"], [f"{name}.qkv"]),
            helper.make_node("Split", [f"{name}.qkv", "sizes"], [node.output[0] for node in adds], axis=-1),
        ]
        dropped |= {node.name for node in found}
    nodes = [new for node in model.graph.node for new in made.get(node.name, [] if node.name in dropped else [node])]
    set_initializers(model, held)
    set_nodes(model, nodes)
    return model


def scaled_integers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store kernels and tables as int8 behind Cast and Mul: one scale per column of a kernel, or row of a table."""
    model = copied(model)
    held, nodes = arrays(model), []
    tables = [node.input[0] for node in model.graph.node if node.op_type == "Gather" and node.input[0] in held]
    for name in dict.fromkeys([*kernels(model), *tables]):
        value = held.pop(name)
        scale = (np.abs(value).max(axis=1 if name in tables else 0, keepdims=True) / 127).astype(np.float32)
        held |= {f"{name}_q": np.rint(value / scale).astype(np.int8), f"{name}_scale": scale}
        nodes.append(helper.make_node("Cast", [f"{name}_q"], [f"{name}_f"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_f", f"{name}_scale"], [name]))
    set_initializers(model, held)
    set_nodes(model, [*nodes, *model.graph.node])
    return model


def float_mask(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make the mask a float input of ones and zeros."""
    model = copied(model)
    for value in model.graph.input:
        if value.name == "attention_mask":
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def additive_mask(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make the mask a float input [B, 1, 1, T] that is added to the scores; the graph must be eager, by TorchScript."""
    model = copied(model)
    product = next(node for node in model.graph.node if node.name == "/Mul")
    before = {"attention_mask", *product.output}
    kept = []
    for node in model.graph.node:
        reads = "attention_mask" in node.input or (node.op_type != "Constant" and before & {*node.input})
        if reads and not node.name.startswith("/encoder"):
            before |= {*node.output}
            continue
        node.input[:] = ["attention_mask" if name == product.output[0] else name for name in node.input]
        kept.append(node)
    set_nodes(model, kept)
    mask = next(value for value in model.graph.input if value.name == "attention_mask")
    sizes = [size.dim_param or size.dim_value for size in mask.type.tensor_type.shape.dim]
    mask.CopyFrom(helper.make_tensor_value_info(mask.name, TensorProto.FLOAT, [sizes[0], 1, 1, sizes[1]]))
    return model


def scale_changed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Divide the scores by the head size instead of its square root, which differs from BERT."""
    model = copied(model)
    for node in model.graph.node:
        if node.op_type == "Div" and node.name.endswith("attention/self/Div"):
            node.input[1] = "head_size"
    model.graph.initializer.append(numpy_helper.from_array(np.array(8.0, np.float32), "head_size"))
    return model


def residual_dropped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the residual before the output LayerNorm of the first layer, which differs from BERT."""
    model = copied(model)
    add = next(node for node in model.graph.node if node.name == "/encoder/layer.0/output/Add")
    add.input[1] = add.input[0]
    return model
