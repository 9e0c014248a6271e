"""Run ONNX graphs in a separate process with limited time and memory."""

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

from convert.reading.large_models import is_large, with_external_data
from convert.reading.tensors import all_tensors, size_in_bytes
from minilm_jax.errors import ConversionError

_RUNNER = Path(__file__).resolve().with_name("graph_runner.py")
_SECONDS = 600
# The memory limit is a constant for the runtime itself, plus a few copies of the weights.
_RUNTIME_BYTES, _COPIES = 4 * 2**30, 8


def run_graph(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]], *, runtime: str) -> list[NDArray[Any]]:
    """Run a graph and return its outputs.

    Args:
        model: The model.
        inputs: An array for each input of the graph, by name.
        runtime: "onnxruntime" or "onnx.reference".

    Returns:
        The outputs in the order of the graph.

    Raises:
        ConversionError: The graph does not run, or needs too much time or memory.
    """
    size = sum(map(size_in_bytes, all_tensors(model)))
    # -P keeps the current folder off the import path: a file there could shadow a module.
    command = [sys.executable, "-P", str(_RUNNER), runtime, str(_RUNTIME_BYTES + _COPIES * size)]
    try:
        # In an empty folder, the graph cannot refer to any existing file by a relative path.
        with tempfile.TemporaryDirectory() as empty:
            archive = _archive(model, inputs, Path(empty))
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


def _archive(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]], folder: Path) -> io.BytesIO:
    """Return the standard input of the runner; a large model is written to the folder instead."""
    archive = io.BytesIO()
    arrays: dict[str, Any] = {f"input:{name}": array for name, array in inputs.items()}
    if is_large(model):
        light = with_external_data(model, folder / "model.onnx.data")
        (folder / "model.onnx").write_bytes(light.SerializeToString())
    else:
        arrays["model"] = np.frombuffer(model.SerializeToString(), np.uint8)
    np.savez(archive, **arrays)
    return archive


def choose_runtime(*, trusted: bool) -> str:
    """Return the runtime to use on this machine.

    Args:
        trusted: Whether the graph is known to be harmless. Only then may it run in onnx.reference, which is always
            installed.

    Raises:
        ConversionError: onnxruntime is needed and not installed.
    """
    if importlib.util.find_spec("onnxruntime"):
        return "onnxruntime"
    if trusted:
        return "onnx.reference"
    raise ConversionError(
        "verifying the conversion of this file needs onnxruntime; run pip install 'minilm-jax[verify]'."
    )


def _failed(reason: str) -> ConversionError:
    return ConversionError(f"the graph does not run, so the conversion cannot be verified ({reason}).")
