"""Parameter types of the commands. Their errors suggest the closest valid value."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from minilm_jax.errors import did_you_mean


class Choice(click.Choice):
    """One of a fixed set of words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word, or raise `click.BadParameter` with the closest one."""
        with _suggestions(str(value), map(str, self.choices)):
            return super().convert(value, param, ctx)


class ExistingPath(click.Path):
    """Path of a file or folder that exists."""

    def __init__(self, **kwargs: Any) -> None:
        """Accept the arguments of `click.Path`."""
        super().__init__(exists=True, **kwargs)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or raise `click.BadParameter` with the closest name in its folder."""
        folder = Path(value).parent
        # A folder where a file is expected is no misspelling, so it is not suggested.
        others = [str(path) for path in folder.iterdir() if path != Path(value)] if folder.is_dir() else []
        with _suggestions(str(value), others):
            return super().convert(value, param, ctx)


class Cosine(click.FloatRange):
    """Cosine similarity, from -1 to 1."""

    def __init__(self) -> None:
        """Set the range."""
        super().__init__(-1, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or raise `click.BadParameter`; NaN is not in the range."""
        number = super().convert(value, param, ctx)
        return self.fail(f"{value} is not a number from -1 to 1.", param, ctx) if number != number else number


class Delimiter(click.ParamType):
    """Character between the fields of a CSV file."""

    name = "character"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the character, or raise `click.BadParameter`."""
        character = "\t" if value in ("tab", r"\t") else value
        if len(character) != 1 or character in '"\r\n':
            self.fail(f"{value!r} is not a delimiter; pass one character, such as ';', or tab.", param, ctx)
        return character


class Share(click.ParamType):
    """One of N equal shares of a corpus, written I/N with I from 0 to N-1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return (I, N), or raise `click.BadParameter`."""
        number, _, count = value.partition("/")
        if not (number.isdecimal() and count.isdecimal() and int(number) < int(count)):
            self.fail(f"{value!r} is not a share; write I/N with I from 0 to N-1, such as 0/16.", param, ctx)
        return int(number), int(count)


@contextlib.contextmanager
def _suggestions(given: str, possible: Iterable[str]) -> Iterator[None]:
    """Append the closest possible value to the message of a `click.BadParameter`."""
    try:
        yield
    except click.BadParameter as error:
        message = error.message + did_you_mean(given, possible)
        raise click.BadParameter(message, error.ctx, error.param, error.param_hint) from None
