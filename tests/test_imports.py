"""Imports: complete after an interrupt, and with a remedy for a missing package."""

import importlib
import os
import signal
import sys
import threading
import tomllib
from pathlib import Path

import pytest

import minilm_jax as mj
from minilm_jax.errors import MissingPackageError
from minilm_jax.imports import import_completely
from tests.helpers.paths import ROOT


def test_interrupted_import_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.5)\ncomplete = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        import_completely("slow_to_import")
    assert sys.modules.pop("slow_to_import").complete


def test_failed_import_raises_its_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_completely("no_such_module")


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("chroma", "chromadb", "chroma"),
        ("duckdb", "duckdb", "duckdb"),
        ("haystack", "haystack", "haystack"),
        ("langchain", "langchain_core", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("mteb", "mteb", "mteb"),
        ("sklearn", "sklearn", "sklearn"),
    ],
)
def test_adapter_without_its_package_names_the_extra(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # pyright: ignore[reportArgumentType] makes the import fail
    name = f"minilm_jax.integrations.{module}"
    with pytest.raises(MissingPackageError, match=rf"{package}.*; pip install 'minilm-jax\[{extra}\]'"):
        importlib.import_module(name)
    assert issubclass(MissingPackageError, ImportError)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert extra in extras


def test_public_modules_are_attributes_of_the_package() -> None:
    for name in ("explain", "plot", "search"):
        assert getattr(mj, name).__name__ == f"minilm_jax.{name}"
