"""The `minilm-jax` command, in this process and as a separate one."""

import sys

from click.testing import CliRunner, Result

from minilm_jax.cli import main


def command(*arguments: object) -> list[str]:
    """Return the argument list that runs `minilm-jax` with these arguments in a new process."""
    return [sys.executable, "-m", "minilm_jax", *map(str, arguments)]


def run_command(*arguments: object, input: str | bytes | None = None) -> Result:
    """Run `minilm-jax` with these arguments in this process."""
    return CliRunner().invoke(main, list(map(str, arguments)), input=input)
