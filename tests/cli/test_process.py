"""`minilm-jax` as a real process: imports at start-up, pipes, a full disk, and a folder that cannot be created."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minilm_jax import __version__
from tests.helpers.command_line import command
from tests.helpers.tolerances import FIVE_DECIMALS_TRUNCATED


def test_help_and_version_import_no_heavy_package() -> None:
    code = "import sys; from minilm_jax.cli import main; main(['{}'], standalone_mode=False); print(*sys.modules)"
    for option in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code.format(option)], capture_output=True, text=True, check=True)
        assert not {"jax", "numpy", "onnx", "convert", "tqdm", "pyarrow"} & set(done.stdout.splitlines()[-1].split())
    assert subprocess.check_output(command("--version"), text=True) == f"minilm-jax, version {__version__}\n"


def test_real_model_embeds_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    subprocess.run(command("embed", "--file", "-", "--out", out), input=b"hello world\n", check=True)
    published_by_fastembed = [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]
    np.testing.assert_allclose(np.load(out)["embeddings"][0, :5], published_by_fastembed, atol=FIVE_DECIMALS_TRUNCATED)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full, a device that is always full")
def test_full_disk_on_standard_output_exits_with_1(numbers_model: Path) -> None:
    with open("/dev/full", "wb") as full:
        arguments = command("embed", "a", "--model", numbers_model)
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: [Errno 28] No space left on device")


def test_programs_folder_that_cannot_be_created_is_ignored(numbers_model: Path, tmp_path: Path) -> None:
    (tmp_path / "programs").write_text("a file where the folder would be")
    environment = {**os.environ, "MINILM_JAX_PROGRAMS": str(tmp_path / "programs")}
    arguments = command("embed", "a", "--model", numbers_model)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the system has no owners and write bits")
def test_programs_folder_that_others_can_write_to_is_one_note(numbers_model: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    environment = {**os.environ, "MINILM_JAX_PROGRAMS": str(tmp_path)}
    arguments = command("embed", "a", "--model", numbers_model)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.stderr.startswith(f"note: compiled programs are not stored: other users can write to {tmp_path}, and")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
