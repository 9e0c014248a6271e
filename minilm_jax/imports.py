"""Imports of packages that are optional, or large."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from minilm_jax.errors import MissingPackageError


@contextlib.contextmanager
def from_extra(name: str) -> Iterator[None]:
    """Let imports in the block raise MissingPackageError, which names the extra to install."""
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(f"{error}; pip install 'minilm-jax[{name}]'") from None


def import_completely(name: str) -> None:
    """Import a module on another thread, which Ctrl-C does not interrupt.

    After an interrupted import, Python keeps some modules of a large package and drops others. Some packages, such as
    flax, cannot be imported again in that process.

    Args:
        name: Name of the module; one that is imported already costs nothing.
    """
    if name not in sys.modules:
        with ThreadPoolExecutor(1, thread_name_prefix="minilm-jax-import") as pool:
            pool.submit(importlib.import_module, name).result()
