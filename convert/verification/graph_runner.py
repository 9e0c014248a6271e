"""Runs one ONNX graph once. A program of its own, so that a graph can take down no more than this process.

Standard input: an .npz archive of the model's bytes as `model` and its inputs as `feed:NAME`. Standard output: an .npz
archive of the outputs, in the graph's order. Arguments: the runtime, and how many bytes of memory the process may have.
"""

import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np


def main(runtime: str, memory_limit: int) -> None:
    """Runs the graph on standard input, see above."""
    _limit_memory(memory_limit)
    archive = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    feeds = {name.removeprefix("feed:"): archive[name] for name in archive.files if name.startswith("feed:")}
    run = {"onnxruntime": _onnxruntime, "onnx.reference": _reference}[runtime]
    outputs = io.BytesIO()
    np.savez(outputs, *run(archive["model"].tobytes(), feeds))
    sys.stdout.buffer.write(outputs.getbuffer())


def _limit_memory(limit: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _onnxruntime(model: bytes, feeds: dict[str, Any]) -> Sequence[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # The graph as it stands: optimising it may round more, as when dequantised weights are multiplied in 8 bits.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def _reference(model: bytes, feeds: dict[str, Any]) -> Sequence[Any]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(onnx.load_from_string(model)).run(None, feeds))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # Whatever the graph made the runtime raise: the caller shows it in one line.
        sys.exit(" ".join(str(error).split())[:500] or type(error).__name__)
