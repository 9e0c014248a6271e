"""Programs on disk: loaded by the next process, never for another shape, source or machine, and only if private."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn import casting
from minilm_jax.nn.params import Params
from minilm_jax.runtime import program_store, stored_cast
from minilm_jax.runtime.compiler import Compiler
from minilm_jax.runtime.devices import choose_devices
from minilm_jax.runtime.program_store import ProgramStore
from minilm_jax.runtime.programs import Programs
from minilm_jax.runtime.stored_cast import load_cast
from tests.helpers.compilations import record_compilations
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
    compiled, found = {"minilm_jax.nn.heads", "minilm_jax.runtime.compiler"}, set()
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
        programs = Programs(mj.init_params(TINY, jax.random.key(0)), TINY, store=open_store())
        print(programs(BATCH).sum(), programs._compiler.loaded)
    """
    environment, outputs = {**os.environ, "MINILM_JAX_PROGRAMS": str(tmp_path / "programs")}, []
    for _ in range(3):
        outputs.append(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
        if len(outputs) == 1:
            shutil.rmtree(tmp_path / "programs")
    sums, loaded = zip(*(output.split() for output in outputs), strict=True)
    assert len(set(sums)) == 1
    assert loaded == ("0", "0", "1")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the system has no owners and write bits")
@pytest.mark.parametrize("defect", ["writable", "link"])
def test_file_that_others_can_change_is_replaced(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    vectors = embed(tiny_params, store)
    (kept,) = tmp_path.iterdir()
    if defect == "writable":
        kept.chmod(0o666)
    else:
        kept.rename(tmp_path / "moved")
        kept.symlink_to(tmp_path / "moved")
    made = record_compilations(monkeypatch)
    np.testing.assert_array_equal(embed(tiny_params, store), vectors)
    assert len(made) == 1
    assert kept.lstat().st_mode & 0o170777 == 0o100600


def test_least_recently_used_programs_are_removed(
    store: ProgramStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interrupted").mkdir()
    for age, name in enumerate(["new", "used", "old", "interrupted/oldest"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1_000 - age, 1_000 - age))
    monkeypatch.setattr(program_store, "_MAX_BYTES", 250)
    store._remove_least_recently_used()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"new", "used"}


def test_stored_int8_params_are_used_until_the_weights_change(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    mj.save_params(tiny_params, folder / "params.safetensors")

    def load(precision: Precision = "int8") -> Params:
        params = load_cast(folder, TINY, precision, store)
        wait_for_threads("minilm-jax-store")
        return params

    load("bfloat16")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    expected = mj.cast(tiny_params, "int8", TINY)
    jax.tree.map(np.testing.assert_array_equal, load(), expected)
    with monkeypatch.context() as patch:
        patch.setattr(casting, "cast", fail_if_called)
        found = load()
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert [leaf.dtype for leaf in jax.tree.leaves(found)] == [leaf.dtype for leaf in jax.tree.leaves(expected)]
    assert getattr(found, "config", None) == TINY
    changed = jax.tree.map(lambda leaf: leaf * 2, tiny_params)
    status = (folder / "params.safetensors").stat()
    mj.save_params(changed, folder / "params.safetensors")
    os.utime(folder / "params.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))
    jax.tree.map(np.testing.assert_array_equal, load(), mj.cast(changed, "int8", TINY))


def test_large_int8_params_are_not_stored(
    store: ProgramStore, tmp_path: Path, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_cast, "_MAX_BYTES", 1_000)
    (tmp_path / "model").mkdir()
    mj.save_params(tiny_params, tmp_path / "model" / "params.safetensors")
    load_cast(tmp_path / "model", TINY, "int8", store)
    wait_for_threads("minilm-jax-store")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_loading_counts_as_use(store: ProgramStore, tmp_path: Path, tiny_params: Params) -> None:
    embed(tiny_params, store)
    (kept,) = tmp_path.iterdir()
    os.utime(kept, (1_000, 1_000))
    embed(tiny_params, store)
    assert kept.stat().st_mtime > 1_000


def test_program_that_fails_when_it_runs_is_compiled_again(
    store: ProgramStore, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("cannot run")

    vectors = embed(tiny_params, store)
    made = record_compilations(monkeypatch)
    monkeypatch.setattr(program_store, "deserialize_and_load", lambda *_, **__: fail)
    np.testing.assert_array_equal(embed(tiny_params, store), vectors)
    assert len(made) == 1


def test_stored_program_runs_on_another_device(store: ProgramStore, tmp_path: Path, tiny_params: Params) -> None:
    first, last = (choose_devices(None, [device]) for device in (jax.devices()[0], jax.devices()[-1]))
    vectors = [Programs(tiny_params, TINY, group, store)(BATCH) for group in (first, last)]
    wait_for_threads("minilm-jax-store")
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(Programs(tiny_params, TINY, last, store)(BATCH), vectors[0])
