"""Run one ONNX graph once, as a separate program, so that a graph that crashes ends only this process.

Standard input: an .npz archive with the bytes of the model as `model` and its inputs as `input:NAME`. Standard output:
an .npz archive of the outputs in the order of the graph. Arguments: the runtime, and the memory limit in bytes. A model
that is too large for the archive is in `model.onnx` in the current folder.
"""

import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np


def main(runtime: str, memory_limit: int) -> None:
    """Run the graph on standard input; the module docstring describes the formats."""
    _limit_memory(memory_limit)
    archive = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    inputs = {name.removeprefix("input:"): archive[name] for name in archive.files if name.startswith("input:")}
    run = {"onnxruntime": _onnxruntime, "onnx.reference": _reference}[runtime]
    outputs = io.BytesIO()
    model = archive["model"].tobytes() if "model" in archive.files else "model.onnx"
    np.savez(outputs, *run(model, inputs))
    sys.stdout.buffer.write(outputs.getbuffer())


def _limit_memory(limit: int) -> None:
    try:
        import resource
    except ImportError:  # The module is not available on Windows.
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _onnxruntime(model: bytes | str, inputs: dict[str, Any]) -> Sequence[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Optimizations are off because they may add roundings, such as multiplying dequantized weights in 8 bits.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def _reference(model: bytes | str, inputs: dict[str, Any]) -> Sequence[Any]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.load(model) if isinstance(model, str) else onnx.load_from_string(model)
    return list(ReferenceEvaluator(proto).run(None, inputs))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # A graph can make the runtime raise any error; the caller shows it in one line.
        sys.exit(" ".join(str(error).split())[:500] or type(error).__name__)
