"""What the commands over a file of texts share: its options, and the index of it that is kept beside it."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.embed import format_from_suffix
from minilm_jax.cli.parameter_types import Choice
from minilm_jax.config import TextFormat
from minilm_jax.errors import InputError, SearchIndexError
from minilm_jax.files import texts as text_files

if TYPE_CHECKING:
    from minilm_jax.search import SearchIndex
    from minilm_jax.sentence_encoder import SentenceEncoder

# Cosines of equal vectors may be so much below one.
COSINE_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A file of texts, embedded.

    Attributes:
        index: Of its texts, without those that are blank.
        rows: Of each of them its place in the file, from 1.
        show_progress_bar: False where nothing but results should be seen, else None.
    """

    index: "SearchIndex"
    rows: list[int]
    show_progress_bar: bool | None

    def entry(self, text_id: int) -> dict[str, Any]:
        """Returns a text as it is printed in JSON."""
        return {"row": self.rows[text_id], "text": self.index.texts[text_id]}


def corpus_command(command: Callable[..., None]) -> Callable[..., None]:
    """Lets a command have a `Corpus` in place of `corpus`, a path, and adds the options that say how to make one."""

    @model_command.options
    @click.option("--field", default="text", show_default=True, help="The member or column that holds the text.")
    @click.option(
        "--from", "input_format", type=Choice(get_args(TextFormat)), help="The file's format.  [default: by suffix]"
    )
    @click.option("--index", type=click.Path(file_okay=False), help="Where to keep the index.  [default: FILE.index]")
    @quiet_option
    @functools.wraps(command)
    def run(
        corpus: str,
        field: str,
        input_format: TextFormat | None,
        index: str | None,
        model: str,
        precision: Any,
        max_seq_length: int | None,
        **others: Any,
    ) -> None:
        source_format = input_format or format_from_suffix(corpus, text_files.FORMATS, "--from")
        with open(corpus, "rb") as file:
            numbered = enumerate(text_files.read_texts(file, source_format, field), 1)
            texts = {row: text for row, text in numbered if text.strip()}
        encoder = model_command.load_encoder(model, precision, max_seq_length)
        with model_command.hide_warnings():
            show = False if progress.silenced() else None
            indexed = _indexed(list(texts.values()), encoder, Path(index or f"{corpus}.index"), show)
            command(Corpus(indexed, list(texts), show), **others)
        model_command.report_truncation(encoder)

    return run


def _indexed(texts: list[str], encoder: "SentenceEncoder", folder: Path, show: bool | None) -> "SearchIndex":
    """Returns an index of these texts: the one that is kept, brought up to date, or a new one."""
    from minilm_jax.search import SearchIndex

    kept = SearchIndex(encoder)
    if folder.exists():
        try:
            kept = SearchIndex.load(folder, encoder)
        except SearchIndexError as error:
            _note(f"all texts are embedded anew; {error}")
    index = kept.matching(texts, show_progress_bar=show)
    if index is not kept:
        try:
            index.save(folder)
        except (InputError, OSError) as error:
            _note(f"the index is not kept, --index names another place for it; {error}")
    return index


def _note(message: str) -> None:
    if not progress.silenced():
        click.echo(f"note: {message}", err=True)
