"""Checks of the fields of a config, which may come from a damaged file."""

from typing import Any

from minilm_jax.errors import ModelFileError

# This limit is far above any real model; a larger value indicates a damaged file.
MAX_SIZE = 2**31 - 1


def check_size(name: str, value: Any, limit: int = MAX_SIZE) -> None:
    """Raise ModelFileError if a value is not an integer from 1 to the limit."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= limit:
        raise ModelFileError(f"config: {name} is {short_repr(value)}; it must be a positive integer up to {limit:,}.")


def check_probability(name: str, value: Any) -> None:
    """Raise ModelFileError if a value is not a number from 0 up to, but not including, 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ModelFileError(f"config: {name} is {short_repr(value)}; it must be a number from 0 to 1.")


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise ModelFileError if a value is not one of the allowed ones."""
    if value not in allowed:
        raise ModelFileError(f"config: {name} is {short_repr(value)}; supported: {', '.join(allowed)}.")


def short_repr(value: Any) -> str:
    """Return a short form of a value for error messages; lists and dicts are replaced by their type."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.60}"
