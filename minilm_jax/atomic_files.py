"""Files that are written whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a place to write to, and puts what was written there in the place of a path in one step.

    Args:
        path: A file or folder, there or not; it stays as it is if the block raises.

    Yields:
        A path in a new folder beside it, with the same name.

    Raises:
        OSError: The folder that holds path cannot be written to.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        written, old = Path(scratch) / path.name, Path(scratch) / f"{path.name}.old"
        yield written
        if not path.is_dir():
            if path.exists():
                shutil.copymode(path, written)
            os.replace(written, path)
            return
        # A folder cannot be replaced in one step; what goes wrong between the two leaves the old one.
        path.rename(old)
        try:
            written.rename(path)
        except BaseException:
            old.rename(path)
            raise
