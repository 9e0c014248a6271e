"""Standard streams of the commands: escapes for characters that they cannot encode, and errors if they are closed."""

import codecs
import io
import json
import os
import sys
from typing import Any, NoReturn

import click

from minilm_jax import progress
from minilm_jax.errors import InputError

_ESCAPES = "minilm_jax.json_escapes"


def prepare() -> None:
    r"""Make all output of this process possible.

    A character that the encoding of stdout lacks is written as its JSON escape, such as \u20ac, so that JSON stays
    valid. A closed stream raises InputError when it is used.
    """
    _open_closed_descriptors()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    if sys.stdin is None:
        sys.stdin = _ClosedStream("standard input is closed; redirect a file to it, or name one with --file.")
    if sys.stdout is None:
        sys.stdout = _ClosedStream("standard output is closed; redirect it to a file.")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors=_ESCAPES)


def check_stdout() -> None:
    """Raise InputError if stdout is closed, before any work is done."""
    sys.stdout.write("")


def print_result(text: str) -> None:
    """Print a line that may have any characters."""
    # Without `file`, click replaces a stream that only encodes ASCII by one that encodes UTF-8.
    click.echo(text, file=sys.stdout)


def print_note(text: str) -> None:
    """Print a note to stderr, unless --quiet is given."""
    if not progress.silenced():
        click.echo(f"note: {text}", err=True)


class _ClosedStream(io.TextIOBase):
    def __init__(self, message: str) -> None:
        self._message = message

    @property
    def buffer(self) -> Any:
        self._fail()

    def write(self, _: str) -> int:
        self._fail()

    def _fail(self) -> NoReturn:
        raise InputError(self._message)


def _open_closed_descriptors() -> None:
    """Open the null device in place of closed standard streams, so that no other file gets their numbers.

    XLA writes its messages to descriptor 2, whichever file that is.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The system assigns the lowest free number.


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPES, _escape)
