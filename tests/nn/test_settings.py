"""JAX's settings: they do not change vectors, and a missing platform is a clear error."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.export import save_exported
from minilm_jax.nn.params import Params, abstract, flatten, unflatten
from minilm_jax.runtime.engine import Engine
from tests.helpers.tiny_model import TINY, TINY_BATCH
from tests.helpers.tolerances import UNIT_VECTORS

SETTINGS: dict[str, tuple[str, Any]] = {
    "disabled jit": ("jax_disable_jit", True),
    "64 bits": ("jax_enable_x64", True),
    "no transfers": ("jax_transfer_guard", "disallow"),
    "no explicit transfers": ("jax_transfer_guard_host_to_device", "disallow_explicit"),
    "no NaN": ("jax_debug_nans", True),
    "no infinity": ("jax_debug_infs", True),
    "tracer leaks": ("jax_check_tracer_leaks", True),
    "another device": ("jax_default_device", 3),
    "products in bfloat16": ("jax_default_matmul_precision", "bfloat16"),
    "random bits": ("jax_default_prng_impl", "rbg"),
}


# Tests make it before they change a setting, because making a key is a transfer of the caller.
KEY = jax.random.key(0)


@pytest.fixture(params=SETTINGS)
def setting(request: pytest.FixtureRequest) -> Iterator[None]:
    """One setting of JAX, for all threads."""
    name, value = SETTINGS[request.param]
    before = jax.config.values[name]
    jax.config.update(name, jax.devices()[value] if name == "jax_default_device" else value)
    try:
        yield
    finally:
        jax.config.update(name, before)


@pytest.fixture(scope="module")
def host_params() -> Params:
    """Parameters as numpy arrays."""
    random = np.random.default_rng(0)
    leaves = {p: random.normal(0, 0.1, leaf.shape).astype(np.float32) for p, leaf in flatten(abstract(TINY)).items()}
    return mj.EncoderParams(unflatten(leaves), TINY)


@pytest.fixture(scope="module", params=["float32", "int8"])
def vectors(request: pytest.FixtureRequest, host_params: Params) -> tuple[Precision, np.ndarray]:
    """A precision, and the vectors in it without any setting."""
    return request.param, np.asarray(mj.embed(mj.cast(host_params, request.param), TINY_BATCH))


def test_vectors_do_not_depend_on_settings(
    vectors: tuple[Precision, np.ndarray], setting: None, host_params: Params
) -> None:
    precision, wanted = vectors
    params = mj.cast(host_params, precision)
    engine = Engine(params, TINY)
    for found in (mj.embed(params, TINY_BATCH), *engine.embed_batches([TINY_BATCH])):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)
        assert found.dtype == np.float32
    tokens = mj.encode(params, mj.PackedBatch(TINY_BATCH.input_ids, np.array([[2, 4], [6, 0]]))).last_hidden_state
    assert np.isfinite(np.asarray(tokens)).all()
    assert {leaf.dtype for leaf in jax.tree.leaves(mj.init_params(TINY, KEY))} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["64 bits", "no transfers", "disabled jit"])
def test_exported_programs_do_not_depend_on_settings(name: str, encoder: mj.SentenceEncoder, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, vocab_size=encoder.tokenizer.vocab_size)
    params = mj.cast(mj.init_params(config, KEY), "int8")
    wanted = np.asarray(mj.embed(params, TINY_BATCH))
    setting, value = SETTINGS[name]
    before = jax.config.values[setting]
    jax.config.update(setting, value)
    try:
        save_exported(mj.SentenceEncoder(params, config, encoder.tokenizer, 16), tmp_path / "a", platforms=["cpu"])
        found = np.asarray(mj.load_exported(tmp_path / "a")(TINY_BATCH))
    finally:
        jax.config.update(setting, before)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)


def test_platform_that_is_missing_is_named() -> None:
    code = """if True:
        import jax, numpy as np, minilm_jax as mj
        from minilm_jax.nn.params import abstract
        from tests.helpers.tiny_model import TINY, TINY_BATCH
        params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), abstract(TINY))
        for use in (
            lambda: mj.embed(params, TINY_BATCH, TINY),
            lambda: mj.cast(params, "int8", TINY),
            lambda: mj.SentenceEncoder(devices="all"),
        ):
            try:
                use()
            except mj.InputError as error:
                print(error)
    """
    environment = os.environ | {"JAX_PLATFORMS": "cuda"}
    output = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert output.count("jax cannot compute on JAX_PLATFORMS='cuda' here") == 3
