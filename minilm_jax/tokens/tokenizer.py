"""Tokenization of texts to ragged token ids; truncation is explicit and counted."""

import bisect
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, normalizers

from minilm_jax.arguments import integer
from minilm_jax.errors import ModelFileError
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.tokens.texts import as_pairs, as_texts, check_text

# all-MiniLM-L6-v2 was trained with this length, although its position table has 512 rows.
DEFAULT_MAX_SEQ_LENGTH = 256

# Each text starts with [CLS] and ends with [SEP].
_SPECIAL_TOKENS = 2
MIN_SEQ_LENGTH = _SPECIAL_TOKENS + 1

# These are the names in BERT's vocabulary, and those in RoBERTa's.
_SPECIAL_NAMES = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}

# Token ids are stored as int32, which limits the size of the vocabulary.
_MAX_IDS = 2**31

# The tokenizer gets at most this many texts per call, which bounds the memory of its Encoding objects.
_CHUNK = 4_096

# English has about 5 characters per token.
_CHARACTERS_PER_TOKEN = 10

# The end of a text decides how its last characters are tokenized: a word may be incomplete, and "[", "MA" may be the
# beginning of the special token [MASK].
_UNSAFE_WORDS = 4

_Token = TypeVar("_Token")


@dataclasses.dataclass(frozen=True)
class Tokenized:
    """The token ids of some texts.

    Attributes:
        tokens: The ids, after truncation.
        truncated: Number of texts that were longer than the limit.
        longest: Tokens of the longest text, before truncation.
    """

    tokens: RaggedIds
    truncated: int
    longest: int


class Piece(NamedTuple):
    """A token and its position in the text.

    Attributes:
        id: The token id.
        token: The entry of the vocabulary: a word or a part of one, such as "##ing".
        start: Index of its first character in the text.
        end: Index after its last character; [CLS] and [SEP] have no characters.
        word: Index of its word in the text, or None for [CLS] and [SEP].
        text: The index of its text in a pair, or None for [CLS] and [SEP].
        type: The token type.
    """

    id: int
    token: str
    start: int
    end: int
    word: int | None
    text: int | None = None
    type: int = 0


class TextTokenizer:
    """A Hugging Face `tokenizer.json`, without its settings for truncation and padding.

    Attributes:
        vocab_size: One more than the largest id that it can return.
    """

    def __init__(self, path: str | Path, *, lowercase: bool = False, token_types: bool = True) -> None:
        """Read a tokenizer.

        Args:
            path: A `tokenizer.json`; settings for truncation and padding in it are ignored.
            lowercase: Whether to convert texts to lower case first.
            token_types: Whether the model has several token types; otherwise, all tokens of a pair have the type 0.

        Raises:
            ModelFileError: The file is missing or is not a BERT tokenizer.
        """
        self._path, self._token_types = Path(path), token_types
        self._copy: tuple[int, Tokenizer] | None = None
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            if lowercase:
                own = self._tokenizer.normalizer
                self._tokenizer.normalizer = normalizers.Sequence(
                    [normalizers.Lowercase(), *([] if own is None else [own])]
                )
            # The file states the ids of [CLS] and [SEP] separately; they may be outside the vocabulary.
            self.vocab_size = 1 + max([*self._tokenizer.get_vocab().values(), *self._tokenizer.encode("").ids])
        except BaseException as error:
            raise self._failure(error, "cannot be read as a tokenizer") from None
        if self.vocab_size > _MAX_IDS:
            raise ModelFileError(
                f"{path} has a token id of {self.vocab_size - 1:,}, more than any model has. Download it again."
            )
        if self._tokenizer.num_special_tokens_to_add(is_pair=False) != _SPECIAL_TOKENS:
            raise ModelFileError(f"{path} does not wrap a text in [CLS] … [SEP]; it is not a BERT tokenizer.")

    def __repr__(self) -> str:
        return f"TextTokenizer({str(self._path)!r}, vocab_size={self.vocab_size})"

    def __call__(self, texts: Iterable[str], max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> Tokenized:
        """Tokenize texts.

        Args:
            texts: Strings, which may be empty.
            max_seq_length: Maximum tokens per text, including [CLS] and [SEP]; longer texts are truncated and counted.

        Returns:
            The ids, and counts of truncated texts.

        Raises:
            InputError: A text is not a string or not valid Unicode, which the message names by its index, or
                max_seq_length is too small.
            ModelFileError: The tokenizer cannot process a text, for example because it has no [UNK] token.
        """
        max_seq_length = min(integer("max_seq_length", max_seq_length, MIN_SEQ_LENGTH), _MAX_IDS - 1)
        texts = as_texts(texts)
        ids, full_lengths = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        for start in range(0, len(texts), _CHUNK):
            encodings = self._encode(texts[start : start + _CHUNK])
            full_lengths.append(np.array([len(encoding) for encoding in encodings], np.int32))
            kept = itertools.chain.from_iterable([_truncate(encoding.ids, max_seq_length) for encoding in encodings])
            ids.append(np.array(list(kept), np.int32))
        full = np.concatenate(full_lengths)
        tokens = RaggedIds(np.concatenate(ids), np.minimum(full, max_seq_length))
        return Tokenized(tokens, int(np.count_nonzero(full > max_seq_length)), int(full.max(initial=0)))

    def pairs(self, pairs: Iterable[Sequence[str]], max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> Tokenized:
        """Tokenize pairs of texts for a model that reads both at once, in BERT as [CLS] first [SEP] second [SEP].

        Args:
            pairs: Pairs of strings, which may be empty.
            max_seq_length: Maximum tokens per pair, including special tokens. Tokens are removed from the longer text
                until the pair fits, as in the strategy longest_first of transformers.

        Returns:
            The ids with their token types, and counts of truncated pairs.

        Raises:
            InputError: An item is not a pair of valid strings, or max_seq_length is too small.
            ModelFileError: The tokenizer cannot process a text, or has other token types than 0 and 1.
        """
        special = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        max_seq_length = min(integer("max_seq_length", max_seq_length, special + 1), _MAX_IDS - 1)
        pairs, truncating = as_pairs(pairs), self._truncating(max_seq_length)
        ids, types, lengths, full_lengths = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [0], [0]
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            encodings = self._encode(chunk, truncating)
            ids += [np.array(encoding.ids, np.int32) for encoding in encodings]
            types += [np.array(encoding.type_ids, np.int32) for encoding in encodings]
            lengths += [len(encoding) for encoding in encodings]
            too_long = [pair for pair, encoding in zip(chunk, encodings, strict=True) if encoding.overflowing]
            full_lengths += [len(encoding) for encoding in self._encode(too_long)]
        found = np.array(lengths[1:], np.int32)
        tokens = RaggedIds(np.concatenate(ids), found, self._first_lengths(types[1:], found))
        return Tokenized(tokens, len(full_lengths) - 1, max(*full_lengths, *lengths))

    def first_characters(self, text: str, max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> str:
        """Return the beginning of a long text that is truncated to the same tokens; it takes less time to tokenize.

        Args:
            text: A valid string.
            max_seq_length: Maximum tokens, including special tokens.

        Returns:
            The text, or its first characters.
        """
        size = _CHARACTERS_PER_TOKEN * max_seq_length
        while size < len(text):
            (found,) = self._encode([text[:size]], with_offsets=True)
            words = [word for word in found.word_ids if word is not None]
            if bisect.bisect_left(words, words[-1] - _UNSAFE_WORDS if words else 0) >= max_seq_length:
                return text[:size]
            size *= 4
        return text

    def pieces(self, text: str, max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> list[Piece]:
        """Tokenize one text to the same ids, with the position of each token in the text.

        Args:
            text: Any string.
            max_seq_length: Maximum tokens, including [CLS] and [SEP]; a longer text is truncated.

        Returns:
            The tokens, at most max_seq_length.

        Raises:
            InputError: The text is not a string or not valid Unicode.
            ModelFileError: The tokenizer cannot process it.
        """
        max_seq_length = integer("max_seq_length", max_seq_length, MIN_SEQ_LENGTH)
        (found,) = self._encode([check_text(text)], with_offsets=True)
        return _truncate(self._pieces(found), max_seq_length)

    def pair_pieces(self, first: str, second: str, max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH) -> list[Piece]:
        """Tokenize one pair of texts like `pairs`, with the position of each token in its text.

        Args:
            first: Any string.
            second: Any string.
            max_seq_length: Maximum tokens, including special tokens.

        Returns:
            The tokens, at most max_seq_length.

        Raises:
            InputError: A text is not a string or not valid Unicode.
            ModelFileError: The tokenizer cannot process them.
        """
        (found,) = self._encode(as_pairs([(first, second)]), self._truncating(max_seq_length), with_offsets=True)
        return self._pieces(found)

    def _pieces(self, found: Encoding) -> list[Piece]:
        types = found.type_ids if self._token_types else [0] * len(found)
        columns = found.ids, found.tokens, found.offsets, found.word_ids, found.sequence_ids, types
        return [Piece(id, token, span[0], span[1], *rest) for id, token, span, *rest in zip(*columns, strict=True)]

    def tokens_of(self, ids: Iterable[int]) -> list[str]:
        """Return the entry of the vocabulary for each id; an id without one gives an empty string."""
        return [self._tokenizer.id_to_token(id) or "" for id in ids]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of token ids.

        Args:
            ids: Token ids.
            skip_special_tokens: Whether to leave out tokens such as [CLS].

        Returns:
            The text, as far as the tokens show it: BERT's vocabulary has no upper case and no spaces.
        """
        return self._tokenizer.decode(list(ids), skip_special_tokens)

    @property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens of the vocabulary, by the names that transformers gives them."""
        cls, sep = self._tokenizer.encode("").tokens
        known = self._tokenizer.token_to_id
        others = {role: next((n for n in names if known(n) is not None), "") for role, names in _SPECIAL_NAMES.items()}
        return {"cls_token": cls, "sep_token": sep} | {role: token for role, token in others.items() if token}

    @property
    def pad_id(self) -> int:
        """Id of the padding token, or 0 if the vocabulary has none."""
        return self._tokenizer.token_to_id(self.special_tokens.get("pad_token", "")) or 0

    def to_json(self) -> str:
        """Return the content of the file that `save` writes."""
        return self._tokenizer.to_str(pretty=True)

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json` without settings for truncation and padding."""
        path.write_text(self.to_json(), "utf-8")

    def _truncating(self, limit: int) -> Tokenizer:
        # Other threads use the tokenizer at the same time, so the setting needs a copy, which takes 40 ms.
        kept = self._copy
        if kept is None or kept[0] != limit:
            kept = limit, Tokenizer.from_str(self._tokenizer.to_str())
            kept[1].enable_truncation(limit, strategy="longest_first")
            self._copy = kept
        return kept[1]

    def _first_lengths(self, types: list[NDArray[np.int32]], lengths: NDArray[np.int32]) -> NDArray[np.int32] | None:
        """Return the number of tokens with type 0, which come first, or None if there are no others."""
        if not self._token_types:
            return None
        first = np.array([np.count_nonzero(each == 0) for each in types], np.int32)
        if any((each[count:] != 1).any() for each, count in zip(types, first, strict=True)):
            raise ModelFileError(
                f"{self._path} gives pairs other token types than 0 and then 1, as no BERT model does."
            )
        return None if np.array_equal(first, lengths) else first

    def _encode(
        self, texts: list[Any], tokenizer: Tokenizer | None = None, *, with_offsets: bool = False
    ) -> list[Encoding]:
        tokenizer = tokenizer or self._tokenizer
        try:
            return tokenizer.encode_batch(texts) if with_offsets else tokenizer.encode_batch_fast(texts)
        except BaseException as error:
            raise self._failure(error, "cannot tokenize these texts") from None

    def _failure(self, error: BaseException, reason: str) -> BaseException:
        """Return the error to raise for one of tokenizers, which may be a plain Exception or a panic in Rust."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return error
        return ModelFileError(f"{self._path} {reason} ({error!s:.200}); download it again.")


def _truncate(tokens: list[_Token], limit: int) -> list[_Token]:
    # The end of the text is dropped, but not the final [SEP].
    return tokens if len(tokens) <= limit else tokens[: limit - 1] + tokens[-1:]
