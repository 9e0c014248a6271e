"""Compiled programs: one per shape, stored on disk, and never reused for another shape, source or machine."""

import dataclasses
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn import cpu_params, processor
from minilm_jax.nn.params import Params, flatten
from minilm_jax.runtime import compiler, program_store, programs
from minilm_jax.runtime.compiler import Compiler
from minilm_jax.runtime.programs import Programs
from tests.helpers.paths import ROOT
from tests.helpers.tiny_model import TINY, TINY_BATCH as BATCH, random_params
from tests.helpers.tolerances import REARRANGED_ROUNDED_PARAMS, TINY_COSINE, UNIT_VECTORS
from tests.project.layers import modules, own_imports

# Sizes at which every kernel can be blocked.
BLOCKABLE = dataclasses.replace(TINY, hidden_size=192, intermediate_size=128)
LARGE = mj.Batch(np.arange(160, dtype=np.int32).reshape(10, 16) % 99, np.ones((10, 16), np.int32))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """Point JAX's compilation cache at an empty folder; return the subfolder of our programs."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "embed"
    jax.config.update("jax_compilation_cache_dir", before)


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


def record_compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that receives the name of every program compiled from now on."""
    made: list[str] = []
    compile_ = Compiler._compile
    monkeypatch.setattr(
        Compiler, "_compile", lambda self, name, *rest: (made.append(name), compile_(self, name, *rest))[1]
    )
    return made


def test_stored_program_is_not_compiled_again(
    cache: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = Programs(tiny_params, TINY)(BATCH)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(Compiler, "_compile", fail_if_called)
    np.testing.assert_array_equal(Programs(tiny_params, TINY)(BATCH), vectors)


@pytest.mark.parametrize("damage", [b"", b"no program", None])
def test_damaged_stored_program_is_compiled_again(cache: Path, tiny_params: Params, damage: bytes | None) -> None:
    vectors = Programs(tiny_params, TINY)(BATCH)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    np.testing.assert_array_equal(Programs(tiny_params, TINY)(BATCH), vectors)
    assert len(kept.read_bytes()) > len(whole) // 2


def test_each_source_machine_dtype_and_shape_has_its_own_program(
    cache: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    Programs(tiny_params, TINY)(BATCH)
    Programs(mj.cast(tiny_params, "bfloat16"), TINY)(BATCH)
    Programs(tiny_params, TINY)(mj.Batch(BATCH.input_ids[:1], BATCH.attention_mask[:1]))
    for name in ("_sources", "_machine"):
        monkeypatch.setattr(program_store, name, lambda: "another")
        Programs(tiny_params, TINY)(BATCH)
    assert len(list(cache.iterdir())) == 5


def test_program_depends_on_the_version_of_flax(monkeypatch: pytest.MonkeyPatch) -> None:
    program_store._machine.cache_clear()
    before = program_store._machine()
    monkeypatch.setattr(program_store.metadata, "version", lambda name: f"another {name}")
    program_store._machine.cache_clear()
    assert set(program_store._machine()) - set(before) == {"another flax"}
    program_store._machine.cache_clear()


def test_stored_programs_depend_on_every_module_that_is_compiled() -> None:
    choosing = {"minilm_jax.runtime.devices", "minilm_jax.runtime.program_choice", "minilm_jax.runtime.program_store"}
    compiled, found = {"minilm_jax.nn.embedding", "minilm_jax.runtime.compiler"}, set()
    while compiled:
        found |= compiled
        compiled = {name for module in compiled for name in own_imports(modules()[module])} - found - choosing
    package = ROOT / "minilm_jax"
    assert [*program_store.SOURCES] == sorted(str(modules()[name].relative_to(package)) for name in found)


def test_program_is_not_stored_without_a_cache(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_store, "atomic_write", fail_if_called)
    assert Programs(tiny_params, TINY)(BATCH).shape == (2, TINY.hidden_size)


def test_unwritable_cache_does_not_stop_the_computation(
    cache: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_store, "atomic_write", fail_if_called)
    assert Programs(tiny_params, TINY)(BATCH).shape == (2, TINY.hidden_size)
    assert not list(cache.iterdir())


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
    assert len(made) == len(program.shapes) == 1


def test_failed_compilation_raises_error_and_is_retried(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Programs(tiny_params, TINY)
    with monkeypatch.context() as patch:
        patch.setattr(Compiler, "_compile", fail_if_called)
        with pytest.raises(AssertionError, match="compiled again"):
            program(BATCH)
    assert program(BATCH).shape == (2, TINY.hidden_size)


def test_interrupted_compilation_is_retried(tiny_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Programs(tiny_params, TINY)
    for interrupted in ("compile", "_is_stored"):
        with monkeypatch.context() as patch:
            patch.setattr(Compiler, interrupted, interrupt)
            with pytest.raises(KeyboardInterrupt):
                program(BATCH)
        assert not program.shapes
    assert program(BATCH).shape == (2, TINY.hidden_size)
    assert program.compilations == 1


def test_frequent_shape_is_recompiled_with_blocked_kernels(
    cache: Path, blockable_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_CALLS_THAT_PAY", 3)
    monkeypatch.setattr(warnings, "catch_warnings", fail_outside_the_main_thread(warnings.catch_warnings))
    made = record_compilations(monkeypatch)
    program = Programs(blockable_params, BLOCKABLE)
    vectors = [np.asarray(program(BATCH)) for _ in range(5)]
    for thread in threading.enumerate():
        if thread.name == "minilm-jax-upgrade":
            thread.join()
    vectors += [np.asarray(program(BATCH)) for _ in range(5)]
    # Without blocked kernels, nothing is compiled again.
    blocked = cpu_params.with_blocked_kernels(cpu_params.prepare_for_cpu(blockable_params))
    works = blocked is not None and cpu_params.blocked_kernels_work(blocked, BATCH.input_ids.size)
    assert made == ["embed"] + ["blocked_embed"] * works
    np.testing.assert_allclose(vectors, np.broadcast_to(vectors[0], (10, *vectors[0].shape)), atol=UNIT_VECTORS)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_cpu_arrangement_of_params_gives_the_same_vectors(blockable_params: Params, precision: Precision) -> None:
    params = mj.cast(blockable_params, precision, BLOCKABLE)
    tolerance = UNIT_VECTORS if precision == "float32" else REARRANGED_ROUNDED_PARAMS
    for batch in (BATCH, LARGE):
        vectors = np.asarray(Programs(params, BLOCKABLE)(batch))
        np.testing.assert_allclose(vectors, np.asarray(mj.embed(params, batch, BLOCKABLE)), atol=tolerance)


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
        ("", False),
    ],
)
def test_bfloat16_counts_as_faster_only_on_amd_with_avx512_bf16(
    monkeypatch: pytest.MonkeyPatch, described: str, faster: bool
) -> None:
    monkeypatch.setattr(processor, "description", lambda: described)
    assert processor.multiplies_bfloat16_faster() is faster


def test_program_from_the_xla_cache_is_stored_completely(tmp_path: Path) -> None:
    # XLA cannot serialize a program that it loaded from its own cache: the result loads, but fails when it runs.
    code = f"""if True:
        import jax
        import minilm_jax as mj
        from minilm_jax.runtime import programs
        from tests.helpers.tiny_model import TINY, TINY_BATCH as BATCH
        mj.enable_compilation_cache({str(tmp_path)!r})
        print(programs.Programs(mj.init_params(TINY, jax.random.key(0)), TINY)(BATCH).sum())
    """
    outputs = []
    for _ in range(3):
        outputs.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        if len(outputs) == 1:
            shutil.rmtree(tmp_path / "embed")
    assert len(set(outputs)) == 1
    assert len(list((tmp_path / "embed").iterdir())) == 1
