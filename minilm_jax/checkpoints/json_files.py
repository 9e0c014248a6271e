"""Read the JSON files of a model folder."""

import json
from pathlib import Path
from typing import TypeVar

from minilm_jax.errors import ModelFileError

T = TypeVar("T")


def read_json(path: Path, kind: type[T]) -> T:
    """Return the content of a JSON file; raises ModelFileError if it is missing, damaged or of another type."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing; a model folder needs it in addition to the weights.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON ({error}); download it again.") from None
    if not isinstance(values, kind):
        raise ModelFileError(f"{path} contains a {type(values).__name__}, not a {kind.__name__}; download it again.")
    return values
