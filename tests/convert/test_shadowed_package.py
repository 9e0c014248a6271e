"""A `convert.py` in the current folder, which hides the `convert` package of minilm-jax from Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture
def shadowing_file(tmp_path: Path) -> Path:
    """A `convert.py` next to an ONNX file."""
    (tmp_path / "model.onnx").write_bytes(b"")
    path = tmp_path / "convert.py"
    path.write_text("")
    return path


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, with the packages of this repository on the path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )


def test_load_params_names_the_shadowing_file_and_the_command_that_works(shadowing_file: Path) -> None:
    code = "import minilm_jax as mj; mj.load_params('model.onnx')"
    done = run("-c", code, folder=shadowing_file.parent)
    assert done.returncode == 1
    last_line = done.stderr.strip().splitlines()[-1]
    assert last_line.startswith("minilm_jax.errors.ConversionError: ")
    assert str(shadowing_file.resolve()) in last_line
    assert "minilm-jax convert" in last_line


def test_console_script_converts_in_a_folder_with_a_shadowing_file(shadowing_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "minilm-jax"
    script.parent.mkdir()
    # The text that pip writes for the entry point in pyproject.toml.
    script.write_text("import sys\nfrom minilm_jax.cli import main\nsys.exit(main())\n")
    done = run(script, "convert", "--help", folder=shadowing_file.parent)
    assert done.returncode == 0, done.stderr
    assert "onnx_to_flax" in done.stdout
