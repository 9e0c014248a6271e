"""`minilm-jax info`: versions, model files, devices, and the verdict in the last line."""

import json
from pathlib import Path
from typing import Any

import pytest

from minilm_jax import __version__
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.checkpoints.sources import sha256_of
from minilm_jax.cli import installation
from tests.helpers.command_line import run_command


def info(*options: str) -> str:
    result = run_command("info", *options)
    assert result.exit_code == 0
    return result.stdout


def test_info_creates_no_cache_folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM_JAX_CACHE", str(cache))
    facts = json.loads(info("--json"))
    assert facts["versions"]["minilm-jax"] == __version__
    assert {file["state"] for file in facts["model_files"]} == {"missing"}
    assert "downloaded when it is first used" in facts["verdict"]
    assert not cache.exists()


def test_info_lists_files_with_state_size_and_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM_JAX_CACHE", str(tmp_path))
    folder = tmp_path / DEFAULT_MODEL
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "own.onnx").write_bytes(b"12345")
    shown = info()
    assert f"damaged       2 B  {sha256_of(folder / 'config.json')[:12]}  config.json" in shown
    assert f"extra         5 B  {sha256_of(folder / 'own.onnx')[:12]}  own.onnx" in shown
    assert "damaged, and will be downloaded again" in shown.splitlines()[-1]


def test_verdict_of_the_real_model_is_ready(folder: Path) -> None:
    facts = json.loads(info("--json"))
    assert [file["state"] for file in facts["model_files"] if file["name"] == "model.safetensors"] == ["intact"]
    assert facts["verdict"] == "Ready: all-minilm-l6-v2 on cpu: cpu."


NO_PROBLEM: dict[str, Any] = {
    "devices": ["cpu: cpu"],
    "no_devices_because": None,
    "outdated": [],
    "unused": [],
    "cache_folder": "/c",
    "cache_writable": True,
    "free_bytes": 10**12,
    "model": "m",
    "model_files": [{"state": "intact"}],
}
MISSING = {"model_files": [{"state": "missing"}]}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "Ready: m on cpu: cpu."),
        ({"devices": [], "no_devices_because": "Why."}, "Not ready: Why."),
        (
            {"outdated": [("jax>=9", "0.4.1")]},
            "Not ready: jax>=9 is required, but 0.4.1 is installed; run `pip install 'jax>=9'`.",
        ),
        ({"unused": [("a TPU", "jax[tpu]")]}, "Ready, on CPU only: there is a TPU, but this jax cannot use it"),
        (MISSING, "it will be downloaded when it is first used (91 MB)."),
        (
            {**MISSING, "free_bytes": 10**7},
            "needs 180 MB, but /c has only 10 MB free; choose another folder with MINILM_JAX_CACHE.",
        ),
        ({**MISSING, "cache_writable": False}, "/c is not writable; choose another folder with MINILM_JAX_CACHE."),
    ],
)
def test_verdict_names_the_most_serious_problem(facts: dict[str, Any], line: str) -> None:
    assert line in installation.verdict(NO_PROBLEM | facts)


def test_outdated_packages_and_unused_accelerators_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    versions = {"jax": "0.4.1", "minilm-jax": "1"}
    monkeypatch.setattr(installation.metadata, "version", lambda name: versions.get(name, "999"))
    facts = installation.collect_facts(tmp_path)
    assert facts["outdated"] == [("jax>=0.7.2", "0.4.1")]
    assert facts["unused"] == [("an NVIDIA GPU", "jax[cuda12]")]


def test_verdict_explains_a_missing_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("Unknown backend 'tpu'\nmore")

    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    monkeypatch.setattr("jax.devices", fail)
    facts = installation.collect_facts()
    assert facts["devices"] == []
    assert "(Unknown backend 'tpu'); unset JAX_PLATFORMS" in installation.verdict(facts)
