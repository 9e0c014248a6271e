"""Folders of programs: used only if no other user can change their content."""

import os
from pathlib import Path

import pytest

from minilm_jax.runtime import private_folder
from minilm_jax.runtime.program_store import open_store

needs_owners = pytest.mark.skipif(not hasattr(os, "getuid"), reason="the system has no owners and write bits")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder named by MINILM_JAX_PROGRAMS, which does not exist yet."""
    monkeypatch.setenv("MINILM_JAX_PROGRAMS", str(tmp_path / "above" / "programs"))
    return tmp_path / "above" / "programs"


def test_new_folder_is_private(folder: Path) -> None:
    assert open_store() is not None
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


@needs_owners
@pytest.mark.parametrize("name", ["programs", "above"])
@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_folder_that_others_can_change_is_not_used(folder: Path, name: str, mode: int) -> None:
    folder.mkdir(parents=True)
    shared = folder if name == "programs" else folder.parent
    shared.chmod(mode)
    with pytest.warns(UserWarning, match=f"not stored: other users can write to {shared}, and a program from another"):
        assert open_store() is None


@needs_owners
def test_only_the_folder_itself_may_not_be_shared_with_the_sticky_bit(folder: Path) -> None:
    # Others can create files in such a folder, as in /tmp, but cannot replace a folder of the user in it.
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o1777)
    assert private_folder.reason_not_private(folder) is None
    folder.chmod(0o1777)
    assert private_folder.reason_not_private(folder) == f"other users can write to {folder}"


@needs_owners
@pytest.mark.parametrize("foreign", ["programs", "above", "link", "target", "above the target"])
def test_folder_or_link_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    (tmp_path / "other" / "target").mkdir(parents=True, mode=0o700)
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "programs").symlink_to(tmp_path / "link")
    (tmp_path / "link").symlink_to(tmp_path / "other" / "target")
    names = {"programs": "above/programs", "target": "other/target", "above the target": "other"}
    path = tmp_path / names.get(foreign, foreign)
    lstat, stat = Path.lstat, Path.stat
    assert private_folder.reason_not_private(tmp_path / "above" / "programs") is None
    monkeypatch.setattr(Path, "lstat", lambda self: owned_by_another(lstat(self)) if self == path else lstat(self))
    assert private_folder.reason_not_private(tmp_path / "above" / "programs") == f"{path} belongs to another user"
    assert stat(path)


def owned_by_another(status: os.stat_result) -> os.stat_result:
    fields = list(status)
    fields[4] += 1_000
    return os.stat_result(fields)


@needs_owners
def test_group_of_the_user_alone_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    tmp_path.chmod(0o770)
    group, user = (
        tmp_path.stat().st_gid,
        pwd.struct_passwd(("me", "x", os.getuid(), tmp_path.stat().st_gid, "", "", "")),
    )
    monkeypatch.setattr(pwd, "getpwuid", lambda _: user)
    for name, members, is_private in (
        ("me", [], True),
        ("me", ["me"], True),
        ("me", ["you"], False),
        ("all", [], False),
    ):
        monkeypatch.setattr(grp, "getgrgid", lambda _, n=name, m=members: grp.struct_group((n, "x", group, m)))
        assert (private_folder.reason_not_private(tmp_path) is None) is is_private


def test_windows_folder_must_be_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "programs").mkdir()
    assert private_folder.reason_not_private(tmp_path / "programs") is None
    assert private_folder.reason_not_private(tmp_path.parent) == f"{tmp_path.parent} is not in your home folder"


@pytest.mark.parametrize("value", ["off", "file"])
def test_store_that_is_off_or_cannot_be_created_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINILM_JAX_PROGRAMS", "off" if value == "off" else str(tmp_path / "file"))
    assert open_store(tmp_path) is None
