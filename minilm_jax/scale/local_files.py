"""Files on the local filesystem: their identity, and folders and globs that follow symbolic links."""

import fnmatch
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

# Folders that contain this file were written by `embed-corpus`.
OUTPUT_MARKER = "_job.json"


def resolve(path: str) -> str:
    """Return the path of a file without symbolic links and `..`, which identifies it; the file need not exist."""
    return Path(os.path.realpath(path)).as_posix()


def absolute(path: str) -> str:
    """Return an absolute path that keeps symbolic links, and has no `..` unless that would be another file."""
    short = os.path.abspath(path)
    return Path(short if resolve(short) == resolve(path) else Path(path).absolute()).as_posix()


def find_files(path: str, out: str) -> list[str]:
    """Return the files that a path or glob names, and the visible ones in the folders that it names.

    Args:
        path: File, folder or glob.
        out: Folder that is skipped.

    Returns:
        Paths. A folder that cannot be listed is in the list itself; a path that does not exist gives an empty list.
    """
    if _may_exist(path):
        found = [path]
    else:
        anchor, *pieces = Path(path).parts
        found = _match(anchor, pieces) if glob.has_magic(path) else []
    return [file for name in found for file in (_walk(name, out) if os.path.isdir(name) else [name])]


def problem_of(path: str) -> dict[str, str]:
    """Return why a path that was found is not a file that can be read, as `problem`; empty if it can."""
    if os.path.isfile(path):
        return {}
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.listdir(path)
    except OSError as error:
        link = f"is a symbolic link to {os.readlink(path)}" if os.path.islink(path) else "cannot be read"
        # Without a suffix, it may be a folder of inputs, or a link to one, so it must not be skipped.
        format = {} if os.path.splitext(path)[1] else {"format": "csv"}
        return {"problem": f"{link}: {error.strerror}", **format}
    return {"problem": "is not a regular file; write its data to a file"}


def _may_exist(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:  # A folder of the path may not be searched, for example.
        return True
    return True


def _walk(root: str, out: str) -> Iterator[str]:
    for folder, names in _folders(root, out):
        paths = [os.path.join(folder, name) for name in _visible(names)]
        yield from [folder] if names is None else [path for path in paths if not os.path.isdir(path)]


def _folders(root: str, *skipped: str) -> Iterator[tuple[str, list[str] | None]]:
    """Yield a folder and those below it, with the names in them or None; links may form cycles, so each occurs once."""
    entered, pending = {*skipped}, [root]
    while pending:
        folder = pending.pop()
        if (identity := resolve(folder)) in entered:
            continue
        entered.add(identity)
        names = _list(folder)
        if folder != root and OUTPUT_MARKER in (names or ()):
            continue
        yield folder, names
        paths = [os.path.join(folder, name) for name in _visible(names)]
        pending += reversed([path for path in paths if os.path.isdir(path)])


def _match(folder: str, pieces: Sequence[str]) -> Iterator[str]:
    """Yield the files and folders that match the pieces of a glob; `**` matches any number of folders."""
    if not pieces:
        yield folder
        return
    piece, rest = pieces[0], pieces[1:]
    if piece == "**":
        for inner, names in _folders(folder) if rest else [(folder, None)]:
            yield from _match(inner, rest) if names is not None else [inner]
    elif not glob.has_magic(piece):
        path = os.path.join(folder, piece)
        yield from _match(path, rest) if os.path.lexists(path) else ()
    elif os.path.isdir(folder):
        names = _list(folder)
        for name in fnmatch.filter(names or (), piece):
            path = os.path.join(folder, name)
            is_hidden = name.startswith(".") and not piece.startswith(".")
            if not is_hidden and not os.path.exists(os.path.join(path, OUTPUT_MARKER)):
                yield from _match(path, rest)
        yield from [folder] if names is None else []


def _list(folder: str) -> list[str] | None:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return None


def _visible(names: list[str] | None) -> list[str]:
    return [name for name in names or () if not name.startswith(("_", "."))]
