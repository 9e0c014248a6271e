"""Imports that an interrupt cannot break."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor


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
