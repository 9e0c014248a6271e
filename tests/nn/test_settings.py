"""JAX's settings: they do not change vectors, and a missing platform is a clear error."""

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax import search
from minilm_jax.config import Precision
from minilm_jax.export import save_exported
from minilm_jax.nn.params import Params, abstract, flatten, unflatten
from minilm_jax.runtime.engine import Engine
from tests.helpers.compiled import embed
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


# These change what happens between compiled functions. For the others, eager calls would compile every operation again.
EAGER = ("disabled jit", "no transfers", "no explicit transfers")

# Tests make it before they change a setting, because making a key is a transfer of the caller.
KEY = jax.random.key(0)


@contextlib.contextmanager
def setting(named: str) -> Iterator[None]:
    """Change one setting of JAX, for all threads."""
    name, value = SETTINGS[named]
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


def vectors_of(params: Params, precision: Precision, embed: Callable[..., Any] = embed) -> list[Any]:
    """Return the vectors that `embed` and an engine compute."""
    cast = mj.cast(params, precision)
    return [embed(cast, TINY_BATCH), *Engine(cast, TINY).embed_batches([TINY_BATCH])]


@pytest.fixture(scope="module")
def wanted(host_params: Params) -> dict[Precision, list[Any]]:
    """Vectors without any setting."""
    return {"float32": vectors_of(host_params, "float32"), "int8": vectors_of(host_params, "int8")}


@pytest.mark.parametrize(
    ("precision", "name"),
    [
        *(("float32", name) for name in SETTINGS),
        *(("int8", name) for name in ("disabled jit", "64 bits", "no transfers")),
    ],
)
def test_vectors_do_not_depend_on_settings(
    wanted: dict[Precision, list[Any]], host_params: Params, precision: Precision, name: str
) -> None:
    compute = mj.embed if name in EAGER else embed
    with setting(name):
        for found, expected in zip(vectors_of(host_params, precision, compute), wanted[precision], strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=UNIT_VECTORS)
            assert found.dtype == np.float32


@pytest.mark.parametrize("name", ["64 bits", "no transfers"])
def test_packed_rows_and_random_params_do_not_depend_on_settings(host_params: Params, name: str) -> None:
    batch = mj.PackedBatch(TINY_BATCH.input_ids, np.array([[2, 4], [6, 0]]))
    expected = mj.embed(host_params, batch), mj.init_params(TINY, KEY)
    with setting(name):
        found = mj.embed(host_params, batch), mj.init_params(TINY, KEY)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=UNIT_VECTORS), found, expected)


@pytest.mark.parametrize("name", ["64 bits", "no transfers", "disabled jit"])
def test_exported_programs_do_not_depend_on_settings(name: str, encoder: mj.SentenceEncoder, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, vocab_size=encoder.tokenizer.vocab_size)
    params = mj.cast(mj.init_params(config, KEY), "int8")
    expected = np.asarray(embed(params, TINY_BATCH))
    with setting(name):
        save_exported(mj.SentenceEncoder(params, config, encoder.tokenizer, 16), tmp_path / "a", platforms=["cpu"])
        found = np.asarray(mj.load_exported(tmp_path / "a")(TINY_BATCH))
    np.testing.assert_allclose(found, expected, rtol=0, atol=UNIT_VECTORS)


@pytest.mark.parametrize("name", ["64 bits", "no transfers", "disabled jit"])
def test_search_does_not_depend_on_settings(name: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(9, 16)).astype(np.float32)

    def results() -> Any:
        pairs = search.paraphrase_mining_embeddings(vectors)[:3]
        groups = search.community_detection(vectors, threshold=0.2, min_community_size=2)
        scores = [function(vectors, vectors) for function in (search.cos_sim, search.pairwise_euclidean_sim)]
        return search.semantic_search(vectors[:2], vectors, top_k=2), pairs, groups, *map(np.asarray, scores)

    expected = results()
    with setting(name):
        found = results()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=UNIT_VECTORS), found, expected)


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
