"""Replacement of files and folders: complete, or not at all."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minilm_jax.atomic_files import atomic_folder, atomic_write

OLD = {"key": "old key", "config": "old", "sub/module": "old", "same": "same"}
NEW = {"key": "new key", "config": "new", "sub2/module": "new", "same": "same"}

# Ends like a killed process, before the given call of `Path.rename`.
KILLED = """
import json, os, sys
from pathlib import Path
from minilm_jax.atomic_files import atomic_folder

folder, files, remaining = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
rename = Path.rename

def stop(source, target):
    global remaining
    remaining -= 1
    if not remaining:
        os._exit(0)
    return rename(source, target)

with atomic_folder(folder, "key") as new:
    for name, content in files.items():
        (new / name).parent.mkdir(exist_ok=True)
        (new / name).write_text(content)
    Path.rename = stop
os._exit(1)
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def read(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def replace(folder: Path, files: dict[str, str], own: set[str] | None = None) -> None:
    with atomic_folder(folder, "key", own) as new:
        write(new, files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "folder", OLD)
    return tmp_path / "folder"


def test_new_folder_appears_complete(tmp_path: Path) -> None:
    replace(tmp_path / "new", NEW)
    assert read(tmp_path) == {f"new/{name}": content for name, content in NEW.items()}


def test_content_of_a_folder_is_replaced(folder: Path) -> None:
    replace(folder, NEW)
    assert read(folder) == NEW


def test_folder_stays_the_same_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder.stat().st_ino
    monkeypatch.chdir(folder)
    replace(Path(), NEW)
    assert folder.stat().st_ino == before
    assert os.getcwd() == str(folder)


def test_link_to_a_folder_stays(folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    replace(link, NEW)
    assert link.is_symlink()
    assert read(folder) == NEW


def test_link_without_a_target_is_replaced(folder: Path) -> None:
    (folder / "config").unlink()
    (folder / "config").symlink_to("missing")
    replace(folder, NEW)
    assert read(folder) == NEW
    assert not (folder / "config").is_symlink()


def test_only_own_files_are_replaced(folder: Path) -> None:
    write(folder, {"notes/a": "mine", "b": "mine"})
    replace(folder, NEW, {"key", "config", "sub", "sub2", "same"})
    assert read(folder) == {**NEW, "notes/a": "mine", "b": "mine"}


def test_error_in_the_block_changes_nothing(folder: Path) -> None:
    with pytest.raises(TypeError):
        replace(folder, {**NEW, "last": 0})  # pyright: ignore[reportArgumentType]
    assert read(folder.parent) == {f"folder/{name}": content for name, content in OLD.items()}


def failing_once(function: Callable[[Path, Path], Path], call: int) -> Callable[[Path, Path], Path]:
    calls = 0

    def rename(source: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return function(source, target)

    return rename


@pytest.mark.parametrize("call", range(1, 7))
def test_interrupted_replacement_is_undone(folder: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    monkeypatch.setattr(Path, "rename", failing_once(Path.rename, call))
    with pytest.raises(KeyboardInterrupt):
        replace(folder, NEW)
    assert read(folder.parent) == {f"folder/{name}": content for name, content in OLD.items()}


@pytest.mark.parametrize("call", range(1, 7))
def test_killed_replacement_leaves_no_mixed_folder(folder: Path, call: int) -> None:
    command = [sys.executable, "-c", KILLED, str(folder), json.dumps(NEW), str(call)]
    subprocess.run(command, check=True)
    found = {name: content for name, content in read(folder).items() if not name.startswith(".minilm-jax-")}
    assert found == OLD or "key" not in found


def test_change_of_the_key_alone_is_one_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", failing_once(Path.rename, 1))
    replace(folder, {**OLD, "key": "new key"})
    assert read(folder) == {**OLD, "key": "new key"}


def test_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o640)
    with atomic_write(path) as new:
        new.write_text("new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
