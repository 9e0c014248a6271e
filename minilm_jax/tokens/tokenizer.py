"""Texts to ragged token ids; truncation is explicit and counted."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from minilm_jax.errors import InputError, ModelFileError
from minilm_jax.tokens.batching import Batch, RaggedIds

# What all-MiniLM-L6-v2 was trained at; its position table would allow 512.
DEFAULT_MAX_SEQ_LENGTH = 256

# [CLS] and [SEP].
_SPECIAL_TOKENS = 2

# Ids are int32.
_MOST_IDS = 2**31

_NOTHING = np.empty(0, np.int32)

# Texts handed to the tokenizer at a time, which bounds the memory that their Encoding objects take.
_CHUNK = 4_096

_Token = TypeVar("_Token")


@dataclasses.dataclass(frozen=True)
class Tokenized:
    """The token ids of some texts.

    Attributes:
        tokens: What the encoder gets.
        truncated: How many texts were longer than the limit and lost their end.
        longest: Tokens of the longest text, before truncation.
    """

    tokens: RaggedIds
    truncated: int
    longest: int


class Piece(NamedTuple):
    """A token and the place in its text that it came from.

    Attributes:
        id: Its token id.
        token: The vocabulary's word or part of a word, such as "##ing".
        start: Its first character in the text.
        end: One past its last character; [CLS] and [SEP] have no characters.
        word: Which word of the text it belongs to, from 0; None for [CLS] and [SEP].
    """

    id: int
    token: str
    start: int
    end: int
    word: int | None


class TextTokenizer:
    """A Hugging Face `tokenizer.json` with truncation and padding taken out of its hands.

    Attributes:
        vocab_size: One more than the largest id that it can give.
    """

    def __init__(self, path: Path) -> None:
        """Reads a tokenizer.

        Args:
            path: A `tokenizer.json`; truncation and padding set in it are ignored.

        Raises:
            ModelFileError: The file is missing or no tokenizer.
        """
        self._path = path
        with self._failures_named("cannot be read as a tokenizer"):
            self._tokenizer = Tokenizer.from_file(str(path))
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            # The tokens around a text have ids of their own in the file; they may be none of the vocabulary's.
            self.vocab_size = 1 + max([*self._tokenizer.get_vocab().values(), *self._tokenizer.encode("").ids])
        if self.vocab_size > _MOST_IDS:
            raise ModelFileError(
                f"{path} has a token id of {self.vocab_size - 1:,}; no model has so many. Fetch it again."
            )
        if self._tokenizer.num_special_tokens_to_add(is_pair=False) != _SPECIAL_TOKENS:
            raise ModelFileError(f"{path} does not wrap a text in [CLS] … [SEP]; this is no BERT tokenizer.")

    def __call__(self, texts: Sequence[str], max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> Tokenized:
        """Tokenizes texts.

        Args:
            texts: Any strings, empty ones too.
            max_seq_length: Most tokens a text, [CLS] and [SEP] included; the rest is cut off and counted.

        Returns:
            The ids, and what truncation did.

        Raises:
            InputError: A text is no string, or no valid Unicode; its place in the list is named.
            ModelFileError: The tokenizer cannot cope with a text, for want of an [UNK] for example.
        """
        if max_seq_length <= _SPECIAL_TOKENS:
            raise InputError(
                f"max_seq_length is {max_seq_length}; it must exceed {_SPECIAL_TOKENS}, for [CLS] and [SEP]."
            )
        check_texts(texts)
        chunks = [self._tokenize_chunk(texts[i : i + _CHUNK], max_seq_length) for i in range(0, len(texts), _CHUNK)]
        full_lengths = np.concatenate([_NOTHING, *(lengths for lengths, _ in chunks)])
        ids = np.concatenate([_NOTHING, *(ids for _, ids in chunks)])
        truncated = int(np.count_nonzero(full_lengths > max_seq_length))
        lengths = np.minimum(full_lengths, max_seq_length)
        return Tokenized(RaggedIds(ids, lengths), truncated, int(full_lengths.max(initial=0)))

    def pieces(self, text: str, max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> list[Piece]:
        """Tokenizes one text to the same ids, and says of each where it came from.

        Args:
            text: Any string.
            max_seq_length: Most tokens, [CLS] and [SEP] included; the rest is cut off.

        Returns:
            Its tokens, at most max_seq_length.

        Raises:
            InputError: The text is no string or no valid Unicode.
            ModelFileError: The tokenizer cannot cope with it.
        """
        check_texts([text])
        with self._failures_named("cannot tokenize this text"):
            found = self._tokenizer.encode(text)
        rows = zip(found.ids, found.tokens, found.offsets, found.word_ids, strict=True)
        return _truncate([Piece(id, token, *span, word) for id, token, span, word in rows], max_seq_length)

    def _tokenize_chunk(self, texts: Sequence[str], limit: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        with self._failures_named("cannot tokenize these texts"):
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = np.fromiter(map(len, encodings), np.int32, len(encodings))
        ids = itertools.chain.from_iterable(_truncate(encoding.ids, limit) for encoding in encodings)
        return lengths, np.fromiter(ids, np.int32, int(np.minimum(lengths, limit).sum()))

    @property
    def special_tokens(self) -> dict[str, str]:
        """The tokens of BERT's that have a part to play, by the names that transformers gives them."""
        cls, sep = self._tokenizer.encode("").tokens
        # Row 0 of the word embeddings is padding's.
        tokens = {"cls_token": cls, "sep_token": sep, "pad_token": self._tokenizer.id_to_token(0)}
        tokens |= {"unk_token": getattr(self._tokenizer.model, "unk_token", None), "mask_token": "[MASK]"}
        return {part: token for part, token in tokens.items() if self._tokenizer.token_to_id(token or "") is not None}

    def to_json(self) -> str:
        """Returns what `save` writes."""
        return self._tokenizer.to_str(pretty=True)

    def save(self, path: Path) -> None:
        """Writes a `tokenizer.json`, with neither truncation nor padding in it."""
        path.write_text(self.to_json(), "utf-8")

    @contextlib.contextmanager
    def _failures_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises bare Exception, and a BaseException where Rust panics.
            raise ModelFileError(f"{self._path} {what} ({error!s:.200}); fetch it again.") from None


def _truncate(tokens: list[_Token], limit: int) -> list[_Token]:
    # What is cut is the end of the text; the closing [SEP] stays.
    return tokens if len(tokens) <= limit else tokens[: limit - 1] + tokens[-1:]


def check_texts(texts: Sequence[str]) -> None:
    """Raises InputError, naming the place in the list, for what is no string or no valid Unicode."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {index} is {type(text).__name__}, not str: {text!r:.60}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {index} has half a surrogate pair at character {error.start}, which is no valid Unicode."
                " Clean it with text.encode('utf-8', 'replace').decode()."
            ) from None


def one_batch(tokens: RaggedIds, length: int) -> Batch:
    """Lays texts out as one batch of int32[n, length] arrays, with their token types."""
    rows = np.arange(len(tokens.lengths))
    batch = tokens.pad(rows, (len(rows), length))
    return batch._replace(token_type_ids=np.zeros_like(batch.input_ids))
