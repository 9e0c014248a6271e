"""Checks of arguments that many functions share."""

import operator
from typing import Any

from minilm_jax.errors import InputError


def integer(name: str, value: Any, minimum: int | None = 1) -> int:
    """Return an argument as an int.

    Args:
        name: Name of the argument, for messages.
        value: An int, or any integer type with `__index__`, such as `np.int64`.
        minimum: Smallest valid value, or None.

    Raises:
        InputError: The value is not an integer, or is too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r:.60}; it must be an integer.") from None
    if minimum is not None and number < minimum:
        raise InputError(f"{name} is {number}; it must be at least {minimum}.")
    return number
