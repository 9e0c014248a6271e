"""`minilm-jax demo`: the labels and values of its two vectors."""

import importlib
import types
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.command_line import run_command
from tests.helpers.tolerances import SIX_DECIMALS

POOLER_OUTPUT = [
    -0.039659, 0.022167, -0.011310, 0.027763, -0.024910, -0.006622, 0.019669, 0.053398, -0.117513, 0.007952,
]  # fmt: skip
SENTENCE_EMBEDDING = [
    -0.034477, 0.031023, 0.006735, 0.026109, -0.039362, -0.160303, 0.066924, -0.006441, -0.047451, 0.014759,
]  # fmt: skip


def test_demo_prints_pooler_output_and_the_sentence_embedding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The conversion is tested elsewhere; the demo continues with the published weights.
    # The package attribute of this name is the command, not the module.
    demo = importlib.import_module("minilm_jax.cli.demo")
    monkeypatch.setattr(demo, "import_converter", lambda _: types.SimpleNamespace(default_onnx_file=lambda: folder))
    monkeypatch.setattr(demo, "_converted", lambda model: model)
    result = run_command("demo")
    assert result.exit_code == 0, result.output
    for name, values, norm in (
        ("pooler_output", POOLER_OUTPUT, 1.183152),
        ("sentence embedding", SENTENCE_EMBEDDING, 1.0),
    ):
        label, first_ten, length = section(result.output, name)
        assert "shape [1, 384]" in label
        assert first_ten.startswith("first ten values")
        np.testing.assert_allclose([*map(float, first_ten.split()[3:])], values, rtol=0, atol=SIX_DECIMALS)
        assert length.startswith("L2 norm")
        assert float(length.split()[2]) == pytest.approx(norm, abs=SIX_DECIMALS)


def section(output: str, name: str) -> list[str]:
    """Return the line that starts with a name, and the two lines after it."""
    lines = [line.strip() for line in output.splitlines()]
    (start,) = (place for place, line in enumerate(lines) if line.startswith(name))
    return lines[start : start + 3]
