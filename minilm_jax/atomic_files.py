"""Replacement of files and folders that leaves either the old or the new content."""

import contextlib
import filecmp
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file to a temporary path, and move it to its destination if the block succeeds.

    Args:
        path: The file, which may exist. If the block raises, it is not changed.

    Yields:
        Path to write to: the same name in a temporary folder on the same filesystem.

    Raises:
        OSError: The parent folder of path cannot be written to.
    """
    with _scratch(path.parent) as scratch:
        written = scratch / path.name
        yield written
        if path.exists():
            shutil.copymode(path, written)
        os.replace(written, path)


@contextlib.contextmanager
def atomic_folder(path: Path, key: str, own: Collection[str] | None = None) -> Iterator[Path]:
    """Write a folder to a temporary path, and move its files to their destination if the block succeeds.

    An existing folder stays the same folder, because it may be mounted or the working directory of a process. Its files
    are moved away before new ones are moved in, the key first and last: if the process is killed in between, the folder
    has no key, so that no reader mixes old and new files.

    Args:
        path: The folder, which may exist. If the block raises, it is not changed.
        key: A file without which readers reject the folder.
        own: Names in the folder that are replaced or removed; other files stay. None replaces the whole content.

    Yields:
        An empty folder to write to, on the same filesystem.

    Raises:
        OSError: The folder, or its parent if it does not exist, cannot be written to.
    """
    path = path.resolve()
    with _scratch(path if path.is_dir() else path.parent) as scratch:
        new = scratch / "new"
        new.mkdir()
        yield new
        if path.is_dir():
            names = {name for name in os.listdir(path) if own is None or name in own} - {scratch.name}
            _replace_files(path, _files(new), _files(path, names), scratch / "old", key)
        else:
            new.rename(path)


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent, prefix=".minilm-jax-") as folder:
        yield Path(folder)


def _files(folder: Path, names: Collection[str] | None = None) -> dict[str, Path]:
    """Return the files in a folder, or in its entries of these names, by relative path."""
    roots = [folder] if names is None else [folder / name for name in names]
    paths = [path for root in roots for path in ([root] if not root.is_dir() else root.rglob("*"))]
    return {path.relative_to(folder).as_posix(): path for path in paths if not path.is_dir()}


def _are_equal(new: Path, old: Path) -> bool:
    # A link whose target is missing does not exist.
    return old.exists() and filecmp.cmp(new, old, shallow=False)


def _replace_files(folder: Path, new: dict[str, Path], old: dict[str, Path], backup: Path, key: str) -> None:
    """Move the files of a folder to a backup and new ones into the folder; on an error, move all of them back."""
    equal = {name for name in new.keys() & old.keys() if _are_equal(new[name], old[name])}
    incoming = sorted(new.keys() - equal, key=lambda name: (name == key, name))
    outgoing = sorted(old.keys() - equal, key=lambda name: (name != key, name))
    if incoming == outgoing == [key]:
        os.replace(new[key], folder / key)
        return
    moves = [(folder / name, backup / name) for name in outgoing] + [(new[name], folder / name) for name in incoming]
    started = []
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            started.append((source, target))
            source.rename(target)
    except BaseException:
        for source, target in reversed(started):
            if not source.exists():
                target.rename(source)
        raise
