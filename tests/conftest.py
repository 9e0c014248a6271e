"""What all tests share: jax at its strictest, several fake devices, the real model, and the command line."""

import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import minilm_jax as mj
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.nn.params import Params, flatten, unflatten
from minilm_jax.scale.job import Job
from tests.helpers import conversion_table

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-buckets", action="store_true", help="Every bucket in tests/nn/test_device.py, on a CPU too."
    )
    parser.addoption("--table", type=Path, help="File to write: the table of what came of the tests.")


TINY = mj.EncoderConfig(
    vocab_size=99,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=16,
)


def command(*arguments: object) -> list[str]:
    """Returns what runs the command line in a process of its own."""
    return [sys.executable, "-m", "minilm_jax", *map(str, arguments)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where a cache may be made; there is none yet."""
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def folder() -> Path:
    """The real model, obtained as a user's would be; without it the tests that need it fail."""
    return model_folder(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def params(folder: Path) -> Params:
    return mj.load_params(folder)


@pytest.fixture(scope="session")
def weights(folder: Path) -> Mapping[str, NDArray[np.float32]]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="session")
def encoder(folder: Path) -> mj.SentenceEncoder:
    return mj.SentenceEncoder.from_pretrained(folder)


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """Rows for the table of conversions, written at the end of a run that asked for it."""
    rows: list[tuple[str, ...]] = []
    yield rows
    if (path := request.config.getoption("--table")) is not None:
        path.write_text(conversion_table.render(rows), "utf-8")


def random_params(config: mj.EncoderConfig, seed: int, *, pooler: bool = True) -> Params:
    """Parameters of which every one matters to the result: no zero biases, no scales of one."""
    first, second = jax.random.split(jax.random.key(seed))
    params = flatten(mj.init_params(config, first, pooler=pooler))
    keys = jax.random.split(second, len(params))
    shifted = {
        path: leaf + 0.1 * jax.random.normal(key, leaf.shape)
        for key, (path, leaf) in zip(keys, params.items(), strict=True)
    }
    return unflatten(shifted)


@pytest.fixture(scope="session")
def tiny_params() -> Params:
    return random_params(TINY, seed=0)


@pytest.fixture(scope="session")
def numbers_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model, see `tests.helpers.numbered_corpus`."""
    from tests.helpers.numbered_corpus import number_model

    return number_model(tmp_path_factory.mktemp("numbers"))


@pytest.fixture
def job(numbers_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Job]:
    """A corpus of no files yet, which that model embeds; what is done is logged."""
    from tests.helpers.numbered_corpus import loaded_once

    caplog.set_level(logging.INFO, "minilm_jax")
    (tmp_path / "in").mkdir()
    with loaded_once():
        yield Job((str(tmp_path / "in"),), "text", str(tmp_path / "out"), model=str(numbers_model), shard_rows=300)
