"""Graphs that need more time or memory than their size suggests run in a separate process with limits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import minilm_jax as mj
from convert.verification import graph_process
from convert.verification.graph_process import run_graph


def bomb() -> onnx.ModelProto:
    """Return a small graph that allocates 4 TiB."""
    size = numpy_helper.from_array(np.array([2**40]), "size")
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["y"]), helper.make_node("Identity", ["x"], ["z"])]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [1])]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "yz"]
    outputs[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    graph = helper.make_graph(nodes, "bomb", inputs, outputs, [size])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_graph_that_needs_too_much_memory_raises_an_error() -> None:
    with pytest.raises(mj.ConversionError, match="the graph does not run, so the conversion cannot be verified"):
        run_graph(bomb(), {"x": np.zeros(1, np.int64)}, runtime="onnxruntime")


def endless() -> onnx.ModelProto:
    """Return a graph with a loop of 2^62 iterations."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", onnx.TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", onnx.TensorProto.INT64, [1]),
        ],
    )
    turns = numpy_helper.from_array(np.array(2**62), "turns")
    loop = helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [1]) for name in "xy")
    graph = helper.make_graph([loop], "endless", [x], [y], [turns])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_graph_that_runs_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_process, "_SECONDS", 3)
    with pytest.raises(mj.ConversionError, match="still running after 3 seconds"):
        run_graph(endless(), {"x": np.zeros(1, np.int64)}, runtime="onnxruntime")


def test_graph_process_imports_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A module of this name in the current folder would shadow the real one.
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mj.ConversionError, match="does not run") as refusal:
        run_graph(bomb(), {"x": np.zeros(1, np.int64)}, runtime="onnxruntime")
    assert "current folder" not in str(refusal.value)
