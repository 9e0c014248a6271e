"""Folders and files that only the user can change, so that code read from them is the user's own."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def create_private_folder(folder: Path) -> None:
    """Create a folder, and those above it, for the user only; an existing folder is not changed."""
    for path in (*reversed(folder.parents), folder):
        path.mkdir(mode=0o700, exist_ok=True)


def reason_not_private(folder: Path) -> str | None:
    """Return why another user could change the content of an existing folder, or None if only the user can.

    Args:
        folder: An absolute path.

    Raises:
        OSError: The folder does not exist or cannot be read.
    """
    folder.stat()
    if not hasattr(os, "getuid"):  # Windows protects the user's home folder; its other permissions are not read.
        is_home = folder.resolve().is_relative_to(Path.home().resolve())
        return None if is_home else f"{folder} is not in your home folder"
    for path in dict.fromkeys(_steps(folder)):
        status = path.lstat()
        if status.st_uid not in (0, os.getuid()):
            return f"{path} belongs to another user"
        if not stat.S_ISLNK(status.st_mode) and _others_can_write(status) and not status.st_mode & stat.S_ISVTX:
            return f"other users can write to {path}"
    status = folder.stat()
    if status.st_uid != os.getuid():
        return f"{folder} belongs to another user"
    return f"other users can write to {folder}" if _others_can_write(status) else None


def read_private_file(path: Path) -> bytes:
    """Return the content of a regular file that belongs to the user, and that no other user can write to.

    Raises:
        OSError: The file does not exist, is a link, or can be changed by another user.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))) as file:
        status = os.fstat(file.fileno())
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or _others_can_write(status)):
            raise PermissionError(f"{path} can be changed by another user")
        return file.read()


def _steps(path: Path) -> Iterator[Path]:
    """Yield a path, its parents, and those of the target of each symbolic link among them."""
    for step in (path, *path.parents):
        yield step
        if step.is_symlink():
            yield from _steps(step.parent / step.readlink())


def _others_can_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWOTH) or bool(
        status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)
    )


def _is_own_group(group: int) -> bool:
    """Return whether a group has only the user in it: many systems create one, of the same name, for each user."""
    import grp
    import pwd

    with contextlib.suppress(KeyError):
        user, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
        return (found.gr_gid, found.gr_name) == (user.pw_gid, user.pw_name) and {*found.gr_mem} <= {user.pw_name}
    return False
