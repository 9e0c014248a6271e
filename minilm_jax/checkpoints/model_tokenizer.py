"""The tokenizer of a model, by name or folder, and `tokenize`."""

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.folder_config import read_has_token_types, read_lowercases
from minilm_jax.checkpoints.sentence_modules import transformer_folder
from minilm_jax.errors import InputError
from minilm_jax.tokens.batching import Batch, bucket_length, one_batch
from minilm_jax.tokens.texts import as_pairs, as_texts
from minilm_jax.tokens.tokenizer import DEFAULT_MAX_SEQ_LENGTH, TextTokenizer

TOKENIZER_FILE = "tokenizer.json"


def tokenize(
    texts: str | Iterable[str] | list[tuple[str, str]],
    *,
    source: str | Path = DEFAULT_MODEL,
    max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH,
) -> Batch:
    """Tokenize texts, or pairs of texts, into one batch, padded to the bucket of the longest text.

    Args:
        texts: One text or several, or a list of pairs (tuples or lists of two texts). Tokens of a pair's second text
            have the token type 1.
        source: The model to take the tokenizer from: a name or a folder.
        max_seq_length: Maximum tokens per text or pair, including [CLS] and [SEP]; a longer text, or the longer text of
            a pair, is truncated.

    Returns:
        A batch of int32[B, T] numpy arrays.

    Raises:
        InputError: The list is empty, or an item is not a valid string or pair of strings.
        ModelFileError: The tokenizer cannot be found or read.

    Examples:
        >>> import minilm_jax as mj
        >>> batch = mj.tokenize(["Hello world"])
        >>> batch.input_ids
        array([[ 101, 7592, 2088,  102,    0,    0,    0,    0]], dtype=int32)
        >>> batch.attention_mask
        array([[1, 1, 1, 1, 0, 0, 0, 0]], dtype=int32)
    """
    are_pairs = isinstance(texts, list) and texts and isinstance(texts[0], tuple | list)
    items: Any = [texts] if isinstance(texts, str) else texts
    items = as_pairs(items) if are_pairs else as_texts(items)
    if not items:
        raise InputError("texts is empty; a batch needs at least one text.")
    tokenizer = _cached_tokenizer(_folder(source))
    tokens = (tokenizer.pairs if are_pairs else tokenizer)(items, max_seq_length).tokens
    return one_batch(tokens, bucket_length(int(tokens.lengths.max())), tokenizer.pad_id)


def load_tokenizer(folder: Path) -> TextTokenizer:
    """Load the tokenizer of a model folder, with its settings.

    Raises:
        ModelFileError: A file is missing or damaged, or is not the tokenizer of a BERT encoder.
    """
    path = transformer_folder(folder) / TOKENIZER_FILE
    return TextTokenizer(path, lowercase=read_lowercases(folder), token_types=read_has_token_types(folder))


def _folder(source: str | Path) -> Path:
    """Return the folder of a model; the hub is asked once per name, because programs call `tokenize` in loops."""
    is_name = isinstance(source, str) and not os.path.isdir(source)
    return _folder_of_name(source) if is_name else model_folder(source)


_folder_of_name = functools.lru_cache(maxsize=4)(model_folder)
_cached_tokenizer = functools.lru_cache(maxsize=4)(load_tokenizer)
