"""The wheel contains both packages and works after installation."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT], check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_contains_both_packages_and_the_license_but_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"minilm_jax/py.typed", "minilm_jax/__init__.pyi", "minilm_jax/cli/embed.py", "convert/__main__.py"} <= names
    assert not any(name.startswith(("tests", "benchmarks", ".")) for name in names)
    assert "minilm_jax/serving/page/index.html" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_installed_wheel_runs_both_command_lines(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel], check=True
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-P", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert run("-c", "import minilm_jax, convert; print(minilm_jax.__file__, convert.__file__)").count(str(site)) == 2
    assert run("-m", "minilm_jax", "similarity", "a cat", "a cat").startswith("1.0")
    assert "onnx_to_flax" in run("-m", "convert", "--help")
