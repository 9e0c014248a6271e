"""The `minilm-jax` command as a separate process."""

import sys


def command(*arguments: object) -> list[str]:
    """Return the argument list that runs `minilm-jax` with these arguments in a new process."""
    return [sys.executable, "-m", "minilm_jax", *map(str, arguments)]
