"""Options and search index of the commands that compare the texts of a file."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minilm_jax import progress
from minilm_jax.cli import model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.streams import check_stdout, print_note
from minilm_jax.cli.text_input import text_input, text_input_options
from minilm_jax.config import Precision, TextFormat
from minilm_jax.errors import InputError, SearchIndexError

if TYPE_CHECKING:
    from minilm_jax.search import SearchIndex
    from minilm_jax.sentence_encoder import SentenceEncoder


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The texts of a file, which are embedded on first use.

    Attributes:
        encoder: Embeds the texts.
        texts: The texts that are not blank, by their rows in the file, counted from 1.
        folder: Folder of the saved search index.
        precision: Value of --precision.
        max_seq_length: Value of --max-seq-length.
        show_progress_bar: False with --quiet; None shows bars only in a terminal.
    """

    encoder: "SentenceEncoder"
    texts: Mapping[int, str]
    folder: Path
    precision: Precision
    max_seq_length: int | None
    show_progress_bar: bool | None

    @functools.cached_property
    def index(self) -> "SearchIndex":
        """Search index of the texts."""
        return _load_or_build(list(self.texts.values()), self.encoder, self.folder, self.show_progress_bar)

    @functools.cached_property
    def rows(self) -> list[int]:
        """Row of each indexed text."""
        return list(self.texts)

    def entry(self, text_id: int) -> dict[str, Any]:
        """Return the JSON object of a text: its row and the text."""
        return {"row": self.rows[text_id], "text": self.index.texts[text_id]}


def corpus_command(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for reading and indexing a file to a command, and pass it a `Corpus` instead of a path."""

    @model_command.options
    @text_input_options
    @click.option(
        "--index", type=click.Path(file_okay=False), help="Folder of the search index.  [default: FILE.index]"
    )
    @quiet_option
    @functools.wraps(command)
    def run(
        corpus: str,
        text_column: str | None,
        delimiter: str | None,
        input_format: TextFormat | None,
        index: str | None,
        model: str,
        revision: str | None,
        precision: Precision,
        max_seq_length: int | None,
        **others: Any,
    ) -> None:
        check_stdout()
        texts = text_input(corpus, input_format, text_column, delimiter).read_rows(corpus)
        encoder = model_command.load_encoder(model, revision, precision, max_seq_length)
        folder, show = Path(index or f"{corpus}.index"), False if progress.silenced() else None
        with model_command.warnings_as_notes():
            command(Corpus(encoder, texts, folder, precision, max_seq_length, show), **others)
        model_command.report_truncation(encoder)

    return run


def _load_or_build(texts: list[str], encoder: "SentenceEncoder", folder: Path, show: bool | None) -> "SearchIndex":
    """Return a search index of the texts, reusing the vectors saved in `folder`; save it if it changed."""
    from minilm_jax.search import SearchIndex

    saved = SearchIndex(encoder)
    if folder.exists():
        try:
            saved = SearchIndex.load(folder, encoder)
        except SearchIndexError as error:
            print_note(f"the saved index is not used and all texts are embedded again: {error}")
    index = saved.matching(texts, show_progress_bar=show)
    if index is not saved:
        try:
            index.save(folder)
        except (InputError, OSError) as error:
            print_note(f"the index is not saved; choose another folder with --index: {error}")
    return index
