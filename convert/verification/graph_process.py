"""Runs ONNX graphs in a process of their own, with bounded time and memory."""

import importlib.util
import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from minilm_jax.errors import ConversionError

_RUNNER = Path(__file__).resolve().with_name("graph_runner.py")
_SECONDS = 600
# What the runtime itself maps, and a few copies of the weights.
_BYTES, _COPIES = 4 * 2**30, 8


def run_graph(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], *, runtime: str) -> list[NDArray[Any]]:
    """Computes the outputs of a graph.

    Args:
        model: The model.
        feeds: An array for each of its inputs.
        runtime: "onnxruntime" or "onnx.reference".

    Returns:
        Its outputs in their order.

    Raises:
        ConversionError: The graph does not run, or takes too much time or memory.
    """
    data = model.SerializeToString()
    archive = io.BytesIO()
    arrays: dict[str, Any] = {f"feed:{name}": array for name, array in feeds.items()}
    np.savez(archive, model=np.frombuffer(data, np.uint8), **arrays)
    # -P: the current folder, where the user keeps files of any name, is no place to import from.
    command = [sys.executable, "-P", str(_RUNNER), runtime, str(_BYTES + _COPIES * len(data))]
    try:
        # In an empty folder: what the graph may name there, it does not find.
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                command, input=archive.getbuffer(), capture_output=True, timeout=_SECONDS, check=False, cwd=empty
            )
    except subprocess.TimeoutExpired:
        raise _failed(f"it was still running after {_SECONDS} seconds") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise _failed(lines[-1] if lines else f"{runtime} ended with status {done.returncode}")
    outputs = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return [outputs[name] for name in outputs.files]


def choose_runtime(*, vouched: bool) -> str:
    """Returns what can run a graph here.

    Args:
        vouched: Whether the graph is known to be harmless; onnx's own evaluator, which is there always, runs no other.

    Raises:
        ConversionError: onnxruntime is needed and not installed.
    """
    if importlib.util.find_spec("onnxruntime"):
        return "onnxruntime"
    if vouched:
        return "onnx.reference"
    raise ConversionError(
        "its graph is run to prove the conversion, which takes onnxruntime; install minilm-jax[verify]."
    )


def _failed(reason: str) -> ConversionError:
    return ConversionError(f"the graph does not run, so nothing can be proved ({reason}).")
