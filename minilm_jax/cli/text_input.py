"""The options that say where the texts of a file are."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, get_args

import click

from minilm_jax.cli.parameter_types import Choice, Delimiter
from minilm_jax.cli.streams import print_note
from minilm_jax.config import TextFormat
from minilm_jax.errors import did_you_mean
from minilm_jax.files import texts as text_files

_DEFAULT_COLUMN = "text"
_Format = TypeVar("_Format")

text_column_names = ("--text-column", "--field", "text_column")
delimiter_option = click.option(
    "--delimiter", type=Delimiter(), help="Character between the fields of CSV, or tab.  [default: ,; for .tsv, tab]"
)


@dataclasses.dataclass(frozen=True)
class TextInput:
    """Format of a file and the place of its texts.

    Attributes:
        format: Format of the file.
        column: Name of the JSON key or column that holds the texts.
        delimiter: Character between the fields of CSV, or None for that of the format.
    """

    format: TextFormat
    column: str
    delimiter: str | None

    def read(self, file: BinaryIO) -> Iterator[str]:
        """Read the texts of a file lazily."""
        return text_files.read_texts(file, self.format, self.column, self.delimiter)

    def read_rows(self, path: str) -> dict[int, str]:
        """Read the texts of a file, or of standard input (-), that are not blank, by their rows, counted from 1."""
        with click.open_file(path, "rb") as file:
            return {row: text for row, text in enumerate(self.read(cast(BinaryIO, file)), 1) if text.strip()}


def text_input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --text-column, --delimiter and --from to a command; `text_input` takes their values."""
    for option in (
        click.option(
            "--from",
            "input_format",
            type=Choice(get_args(TextFormat)),
            help="Format of the file.  [default: by suffix]",
        ),
        delimiter_option,
        click.option(
            *text_column_names, metavar="C", help=f"JSON key or column with the texts.  [default: {_DEFAULT_COLUMN}]"
        ),
    ):
        command = option(command)
    return command


def text_input(
    path: str | None, input_format: TextFormat | None, text_column: str | None, delimiter: str | None
) -> TextInput:
    """Return the input that the options describe.

    Args:
        path: Path of the file, "-" for standard input, or None if there is no file.
        input_format: Value of --from.
        text_column: Value of --text-column.
        delimiter: Value of --delimiter.

    Raises:
        click.UsageError: The format is unknown, or it does not have the options that are given.
    """
    if path is None and (input_format or text_column or delimiter):
        raise click.UsageError("--from, --text-column and --delimiter need --file.")
    format = input_format or ("txt" if path in (None, "-") else format_from_suffix(path, text_files.FORMATS, "--from"))
    if text_column and format == "txt":
        raise click.UsageError("--text-column needs a file with columns or keys; name its format with --from.")
    if delimiter and format not in ("csv", "tsv"):
        raise click.UsageError(f"--delimiter is for CSV, not for {format}; name the format with --from csv.")
    return TextInput(format, text_column or _DEFAULT_COLUMN, delimiter)


def note_file_names(texts: Iterable[str]) -> None:
    """Print a note if a text is the name of a file, because its lines may have been meant."""
    if name := next(filter(_is_file, texts), None):
        print_note(f"{name!r} is embedded as a text; to embed the texts in this file, pass it to `embed --file`.")


def _is_file(text: str) -> bool:
    try:
        return os.path.isfile(text)
    except ValueError:  # Texts may have null characters.
        return False


def format_from_suffix(path: str, formats: Mapping[str, _Format], option: str) -> _Format:
    """Return the format that the suffix of a file indicates.

    Args:
        path: Path of the file.
        formats: Format of each known suffix.
        option: Option that names the format explicitly, for the error message.

    Raises:
        click.UsageError: The suffix is unknown.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        hint = did_you_mean(suffix, formats)
        raise click.UsageError(
            f"{path}: the suffix is not one of {', '.join(formats)}; name the format with {option}.{hint}"
        )
    return formats[suffix]
