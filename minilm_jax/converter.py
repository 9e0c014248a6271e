"""The one place where the library imports the `convert` package, which needs onnx."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from minilm_jax.errors import ConversionError

_OURS = Path(__file__).resolve().parents[1] / "convert" / "__init__.py"


def import_converter(name: str) -> Any:
    """Import a module of the `convert` package.

    Args:
        name: Its name within the package, such as "pipeline".

    Returns:
        The module.

    Raises:
        ConversionError: Another module named `convert` is found first on Python's path.
    """
    found = _found()
    if found != _OURS:
        raise ConversionError(
            f"{found} is imported in place of minilm-jax's own `convert` package. Rename that file, or run"
            " `minilm-jax convert`, which does not import modules from the current folder."
        )
    return importlib.import_module(f"convert.{name}")


def _found() -> Path | None:
    """Return the file that `import convert` would import, without running it."""
    loaded = sys.modules.get("convert")
    origin = loaded.__file__ if loaded else getattr(importlib.util.find_spec("convert"), "origin", None)
    return Path(origin).resolve() if origin else None
