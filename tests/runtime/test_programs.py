"""Compiled programs: one per shape, shared by threads, recompiled if they are used often."""

import dataclasses
import gc
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import ArrayLike

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn import cpu_params, processor
from minilm_jax.nn.params import Params, flatten
from minilm_jax.runtime import compiler, programs
from minilm_jax.runtime.compiler import Compiler
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.runtime.programs import Programs
from tests.helpers.compilations import record_compilations
from tests.helpers.threads import wait_for_threads
from tests.helpers.tiny_model import TINY, TINY_BATCH as BATCH, random_params
from tests.helpers.tolerances import TINY_COSINE, UNIT_VECTORS

# Sizes at which every kernel can be blocked.
BLOCKABLE = dataclasses.replace(TINY, hidden_size=192, intermediate_size=128)
LARGE = mj.Batch(np.arange(160, dtype=np.int32).reshape(10, 16) % 99, np.ones((10, 16), np.int32))


@pytest.fixture(scope="module")
def blockable_params() -> Params:
    return random_params(BLOCKABLE, seed=1)


def fail_if_called(*_: object) -> None:
    raise AssertionError("compiled again")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def fail_outside_the_main_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any, **keywords: Any) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return function(*args, **keywords)

    return checked


def test_unknown_compiler_option_is_dropped(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_CPU_OPTIONS", {"xla_cpu_no_such_option": "1"})
    assert Programs(tiny_params, TINY)(BATCH).shape == (2, TINY.hidden_size)


def test_concurrent_threads_compile_a_shape_once(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    made = record_compilations(monkeypatch)
    program = Programs(tiny_params, TINY)
    threads = [threading.Thread(target=program, args=(BATCH,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == program.compilations == 1


def test_failed_compilation_raises_error_and_is_retried(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Programs(tiny_params, TINY)
    with monkeypatch.context() as patch:
        patch.setattr(Compiler, "_compile", fail_if_called)
        with pytest.raises(AssertionError, match="compiled again"):
            program(BATCH)
    assert program(BATCH).shape == (2, TINY.hidden_size)


def test_interrupted_compilation_is_retried(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Programs(tiny_params, TINY)
    for interrupted in ("compile", "_load_or_compile"):
        with monkeypatch.context() as patch:
            patch.setattr(Compiler, interrupted, interrupt)
            with pytest.raises(KeyboardInterrupt):
                program(BATCH)
        assert program.compilations == 0
    assert program(BATCH).shape == (2, TINY.hidden_size)
    assert program.compilations == 1


def assert_same_vectors(found: ArrayLike, wanted: ArrayLike, precision: Precision) -> None:
    """Compare unit vectors; in 8 and 16 bits, another order of operations rounds a few activations differently."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if precision == "float32":
        assert_allclose(found, wanted, atol=UNIT_VECTORS)
    assert (found * wanted).sum(axis=1).min() > TINY_COSINE


def prefer(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the comparison of two programs always end in the same way."""
    monkeypatch.setattr(compiler, "faster_program", lambda one, other, _: {"first": one, "second": other}[choice])


def blocked_kernels_are_supported(params: Params, tokens: int) -> bool:
    blocked = cpu_params.with_blocked_kernels(jax.device_put(cpu_params.prepare_for_cpu(params)))
    return blocked is not None and cpu_params.blocked_kernels_work(blocked, tokens)


def test_busy_programs_are_recompiled_with_blocked_kernels(
    tmp_path: Path, blockable_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_TOKENS_THAT_PAY", 3 * BATCH.input_ids.size + LARGE.input_ids.size)
    monkeypatch.setattr(warnings, "catch_warnings", fail_outside_the_main_thread(warnings.catch_warnings))
    prefer("second", monkeypatch)
    made = record_compilations(monkeypatch)
    program = Programs(blockable_params, BLOCKABLE, store=ProgramStore(tmp_path))
    wanted = [program(LARGE), *(program(BATCH) for _ in range(5))]
    wait_for_threads("minilm-jax-upgrade")
    found = [program(LARGE), *(program(BATCH) for _ in range(5))]
    sizes = BATCH.input_ids.size, LARGE.input_ids.size
    works = all(blocked_kernels_are_supported(blockable_params, size) for size in sizes)
    assert made == ["embed"] * 2 + ["blocked_embed"] * 2 * works
    for one, other in zip(found, wanted, strict=True):
        assert_allclose(one, other, atol=UNIT_VECTORS)
    wait_for_threads("minilm-jax-store")
    assert len(list(tmp_path.iterdir())) == 2


def test_slower_blocked_kernels_are_not_used(blockable_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    prefer("first", monkeypatch)
    program = Programs(blockable_params, BLOCKABLE)
    program(BATCH)
    program.upgrade()
    assert not cpu_params.blocked_kernels_work(program.params, BATCH.input_ids.size)


def test_programs_are_upgraded_only_once(blockable_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    prefer("second", monkeypatch)
    made, program = record_compilations(monkeypatch), Programs(blockable_params, BLOCKABLE)
    program.upgrade()  # No program was made yet.
    program(BATCH)
    program.upgrade()
    compiled = len(made)
    program.upgrade()
    assert len(made) == compiled


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_kernels_are_held_in_one_form(
    blockable_params: Params, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer("second", monkeypatch)
    params = mj.cast(blockable_params, precision, BLOCKABLE)
    program = Programs(jax.tree.map(jnp.copy, params), BLOCKABLE)
    wanted, plain = program(BATCH), weakref.ref(flatten(program.params)["encoder.layer.0.intermediate.dense.kernel"])
    program.upgrade()
    if blocked_kernels_are_supported(params, BATCH.input_ids.size):
        gc.collect()
        assert plain() is None
    for path, leaf in flatten(program.compiler.original_params).items():
        np.testing.assert_array_equal(leaf, flatten(params)[path])
    assert_same_vectors(program(BATCH), wanted, precision)
    assert_same_vectors(program(LARGE), Programs(params, BLOCKABLE)(LARGE), precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_cpu_arrangement_of_params_gives_the_same_vectors(blockable_params: Params, precision: Precision) -> None:
    params = mj.cast(blockable_params, precision, BLOCKABLE)
    for batch in (BATCH, LARGE):
        assert_same_vectors(Programs(params, BLOCKABLE)(batch), mj.embed(params, batch, BLOCKABLE), precision)


@pytest.mark.parametrize(("faster", "computed_in"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_params_are_computed_in_the_faster_dtype(
    tiny_params: Params, monkeypatch: pytest.MonkeyPatch, faster: bool, computed_in: str
) -> None:
    monkeypatch.setattr(processor, "multiplies_bfloat16_faster", lambda: faster)
    cast = mj.cast(tiny_params, "bfloat16")
    program = Programs(cast, TINY)
    kernels = {path: leaf for path, leaf in flatten(program.params).items() if path.endswith(".kernel")}
    assert {str(leaf.dtype) for leaf in kernels.values()} == {computed_in}
    assert (np.asarray(program(BATCH)) * np.asarray(mj.embed(cast, BATCH, TINY))).sum(axis=1).min() > TINY_COSINE


@pytest.mark.parametrize(
    ("described", "faster"),
    [
        ("vendor_id: AuthenticAMD\nflags: avx512f avx512_bf16", True),
        ("vendor_id: AuthenticAMD\nflags: avx2", False),
        ("vendor_id: GenuineIntel\nflags: avx512f avx512_bf16", False),
        ("vendor_id: GenuineIntel\nflags: avx512f avx512_bf16 amx_bf16", True),
        ("", False),
    ],
)
def test_bfloat16_counts_as_faster_on_amd_with_avx512_bf16_and_on_intel_with_amx(
    monkeypatch: pytest.MonkeyPatch, described: str, faster: bool
) -> None:
    monkeypatch.setattr(processor, "description", lambda: described)
    assert processor.multiplies_bfloat16_faster() is faster
