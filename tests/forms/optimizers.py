"""Rewrite a graph with the tools that people run on exported files; its outputs stay the same."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import tiny
from onnx import version_converter
from onnxruntime.transformers import float16, optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "layout": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_LAYOUT,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Convert to another opset with the version converter of onnx."""
    return version_converter.convert_version(model, opset)


def onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify with onnxsim."""
    import onnxsim as tool

    simplified, same = tool.simplify(model)
    if not same:
        raise ValueError("onnxsim reports that its result computes something else")
    return simplified


def onnxslim(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify with onnxslim."""
    import onnxslim as tool

    return tool.slim(model)


def saved_session(model: onnx.ModelProto, level: str) -> onnx.ModelProto:
    """Return the graph that an onnxruntime session runs after its optimization.

    Args:
        model: The graph.
        level: A key of `LEVELS`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "optimized.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = LEVELS[level]
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def fused(model: onnx.ModelProto, level: int = 0, name: str = "bert", **fusions: Any) -> onnx.ModelProto:
    """Fuse with onnxruntime.transformers.

    Args:
        model: The graph.
        level: The `opt_level`; 0 runs only the fusions that are written in Python.
        name: The name of the encoder, for its number of heads and its width.
        fusions: Attributes of `FusionOptions` to change; `raw_mask` calls its method.
    """
    options = FusionOptions("bert")
    if fusions.pop("raw_mask", False):
        options.use_raw_attention_mask(True)
    for key, value in fusions.items():
        if not hasattr(options, key):
            raise AttributeError(f"FusionOptions has no attribute {key!r}")
        setattr(options, key, value)
    sizes = tiny.SIZES[name]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        onnx.save(model, path)
        found = optimizer.optimize_model(
            str(path),
            "bert",
            num_heads=sizes["num_attention_heads"],
            hidden_size=sizes["hidden_size"],
            optimization_options=options,
            opt_level=level,
        )
        found.save_model_to_file(str(path))
        return onnx.load(path)


def optimum(model: onnx.ModelProto, level: str, name: str = "bert") -> onnx.ModelProto:
    """Optimize as `optimum-cli onnxruntime optimize` does.

    Args:
        model: The graph.
        level: "O1" to "O4". O4 requires a GPU; without one, optimum warns and omits the fusions of the session.
        name: The name of the encoder.
    """
    from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, out = Path(scratch) / "model", Path(scratch) / "out"
        tiny.config(name).save_pretrained(source)
        onnx.save(model, source / "model.onnx")
        chosen = getattr(AutoOptimizationConfig, level)(for_gpu=level == "O4")
        ORTOptimizer.from_pretrained(source, file_names=["model.onnx"]).optimize(chosen, out, file_suffix="")
        return onnx.load(out / "model.onnx")


def halved(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    """Convert to float16 with onnxruntime.transformers.float16."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return float16.convert_float_to_float16(copy, **options)


def halved_common(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    """Convert to float16 with onnxconverter-common."""
    from onnxconverter_common import float16 as common

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return common.convert_float_to_float16(copy, **options)


def silence() -> None:
    """Suppress the log messages about every fusion."""
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(3)
