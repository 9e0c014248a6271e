"""Error messages for a full disk and for a folder that cannot be written."""

import errno
from pathlib import Path

from minilm_jax.errors import ModelFileError

# What to do if the cache of this project cannot be written.
OTHER_CACHE = "Set MINILM_JAX_CACHE or cache_dir to another folder."

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def is_full(error: Exception) -> bool:
    """Return whether an error means that no space is left on a disk."""
    return isinstance(error, OSError) and error.errno in _NO_SPACE


def disk_error(error: Exception, folder: Path, remedy: str, needed: int = 0) -> ModelFileError | None:
    """Return the message for an error of a disk, or None for any other error.

    Args:
        error: The error.
        folder: The folder that was being written.
        remedy: What to do.
        needed: The size of the files in bytes, or 0 if it is not known.
    """
    if is_full(error):
        size = f"; the files take {needed / 1e6:.0f} MB" if needed else ""
        return ModelFileError(f"No space left in {folder} ({error}){size}. {remedy}")
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        return ModelFileError(f"Cannot write to {folder} ({error}). {remedy}")
    return None
