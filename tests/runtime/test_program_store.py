"""Programs on disk: loaded by the next process, never for another shape, source or machine, and only if private."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

import minilm_jax as mj
from minilm_jax.nn.params import Params
from minilm_jax.runtime import program_store
from minilm_jax.runtime.compiler import Compiler
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.runtime.programs import Programs
from tests.helpers.paths import ROOT
from tests.helpers.threads import wait_for_threads
from tests.helpers.tiny_model import TINY, TINY_BATCH as BATCH
from tests.project.layers import modules, own_imports


@pytest.fixture
def store(tmp_path: Path) -> ProgramStore:
    """Store in the empty folder `tmp_path`."""
    return ProgramStore(tmp_path)


def embed(params: Params, store: ProgramStore, batch: mj.Batch = BATCH) -> NDArray[np.floating]:
    """Embed a batch as a new process would, and wait until its program is stored."""
    vectors = Programs(params, TINY, store=store)(batch)
    wait_for_threads("minilm-jax-store")
    return vectors


def fail_if_called(*_: object) -> None:
    raise AssertionError("compiled again")


def test_stored_program_is_not_compiled_again(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = embed(tiny_params, store)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]
    monkeypatch.setattr(Compiler, "_compile", fail_if_called)
    np.testing.assert_array_equal(embed(tiny_params, store), vectors)


@pytest.mark.parametrize("damage", ["empty", "truncated", "changed", "not a program"])
def test_damaged_program_is_compiled_and_stored_again(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, damage: str
) -> None:
    vectors = embed(tiny_params, store)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    half = len(whole) // 2
    changed = whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]
    damaged = {"empty": b"", "truncated": whole[:half], "changed": changed, "not a program": b"x" * 100}[damage]
    kept.write_bytes(damaged)
    np.testing.assert_array_equal(embed(tiny_params, store), vectors)
    assert len(kept.read_bytes()) > half


def test_each_source_machine_dtype_and_shape_has_its_own_program(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(tiny_params, store)
    embed(mj.cast(tiny_params, "bfloat16"), store)
    embed(tiny_params, store, mj.Batch(BATCH.input_ids[:1], BATCH.attention_mask[:1]))
    for name in ("_sources", "_machine"):
        monkeypatch.setattr(program_store, name, lambda: "another")
        embed(tiny_params, store)
    assert len(list(tmp_path.iterdir())) == 5


def test_program_depends_on_the_version_of_flax(monkeypatch: pytest.MonkeyPatch) -> None:
    program_store._machine.cache_clear()
    before = program_store._machine()
    version = f"\nVersion: {metadata.version('flax')}\n"
    assert [version in part for part in before].count(True) == 1
    other = SimpleNamespace(read_text=lambda _: "another flax")
    monkeypatch.setattr(program_store.metadata, "distribution", {"flax": other}.__getitem__)
    program_store._machine.cache_clear()
    assert set(program_store._machine()) - set(before) == {"another flax"}
    program_store._machine.cache_clear()


def test_stored_programs_depend_on_every_module_that_is_compiled() -> None:
    choosing = {"checked_program", "devices", "program_choice", "program_store"}
    excluded = {f"minilm_jax.runtime.{name}" for name in choosing}
    compiled, found = {"minilm_jax.nn.embedding", "minilm_jax.runtime.compiler"}, set()
    while compiled:
        found |= compiled
        compiled = {name for module in compiled for name in own_imports(modules()[module])} - found - excluded
    package = ROOT / "minilm_jax"
    assert [*program_store.SOURCES] == sorted(str(modules()[name].relative_to(package)) for name in found)


def test_disk_that_cannot_be_written_does_not_stop_the_computation(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_store, "atomic_write", fail_if_called)
    assert embed(tiny_params, store).shape == (2, TINY.hidden_size)
    assert not list(tmp_path.iterdir())


def test_program_from_the_xla_cache_is_stored_completely(tmp_path: Path) -> None:
    # XLA cannot serialize a program that it loaded from its own cache: the result loads, but fails when it runs.
    code = f"""if True:
        import jax
        import minilm_jax as mj
        from minilm_jax.runtime.programs import Programs
        from minilm_jax.runtime.program_store import open_store
        from tests.helpers.tiny_model import TINY, TINY_BATCH as BATCH
        mj.enable_compilation_cache({str(tmp_path / "xla")!r})
        store = open_store({str(tmp_path)!r})
        programs = Programs(mj.init_params(TINY, jax.random.key(0)), TINY, store=store)
        print(programs(BATCH).sum(), programs._compiler.loaded)
    """
    outputs = []
    for _ in range(3):
        outputs.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        if len(outputs) == 1:
            shutil.rmtree(tmp_path / "programs")
    sums, loaded = zip(*(output.split() for output in outputs), strict=True)
    assert len(set(sums)) == 1
    assert loaded == ("0", "0", "1")
