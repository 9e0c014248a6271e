"""Fixtures of the tests of the converter."""

from typing import Any

import onnx
import pytest

from convert.verification import graph_runner, verify
from minilm_jax.errors import ConversionError

RUNTIMES = {"onnxruntime": graph_runner._onnxruntime, "onnx.reference": graph_runner._reference}


def run_graph(model: onnx.ModelProto, inputs: dict[str, Any], *, runtime: str) -> list[Any]:
    """Run a graph as `convert.verification.graph_process` does, without a new process."""
    try:
        return list(RUNTIMES[runtime](model.SerializeToString(), inputs))
    except Exception as error:  # A graph can make the runtime raise any error.
        raise ConversionError(f"the graph does not run ({error}).") from error


@pytest.fixture
def graphs_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify conversions in this process; starting another one takes most of the time for a small graph."""
    monkeypatch.setattr(verify, "run_graph", run_graph)
