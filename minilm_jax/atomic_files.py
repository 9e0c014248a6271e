"""Atomic replacement of files and folders."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file or folder to a temporary path, and move it to its destination if the block succeeds.

    Args:
        path: Destination, a file or folder that may exist. If the block raises, it is not changed.

    Yields:
        Path to write to: the same name in a temporary folder on the same filesystem.

    Raises:
        OSError: The parent folder of path cannot be written to.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        written, old = Path(scratch) / path.name, Path(scratch) / f"{path.name}.old"
        yield written
        if not path.is_dir():
            if path.exists():
                shutil.copymode(path, written)
            os.replace(written, path)
            return
        # A folder cannot be replaced in one step. If the second rename fails, the old folder is restored.
        path.rename(old)
        try:
            written.rename(path)
        except BaseException:
            old.rename(path)
            raise
