"""Kinds of parameters that the commands share; their errors name the nearest value that there is."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from minilm_jax.errors import did_you_mean


class Choice(click.Choice):
    """One of several words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the word."""
        with _suggesting(str(value), map(str, self.choices)):
            return super().convert(value, param, ctx)


class ExistingPath(click.Path):
    """A path that must be there."""

    def __init__(self, **kwargs: Any) -> None:
        """Takes what `click.Path` does."""
        super().__init__(exists=True, **kwargs)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path."""
        folder = Path(value).parent
        with _suggesting(str(value), map(str, folder.iterdir()) if folder.is_dir() else ()):
            return super().convert(value, param, ctx)


class Share(click.ParamType):
    """One of several shares, such as 0/16 to 15/16."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Returns which of how many."""
        number, _, count = value.partition("/")
        if not (number.isdecimal() and count.isdecimal() and int(number) < int(count)):
            self.fail(f"{value!r} is no share; there are 0/N to N-1/N.", param, ctx)
        return int(number), int(count)


@contextlib.contextmanager
def _suggesting(given: str, possible: Iterable[str]) -> Iterator[None]:
    try:
        yield
    except click.BadParameter as error:
        message = error.message + did_you_mean(given, possible)
        raise click.BadParameter(message, error.ctx, error.param, error.param_hint) from None
