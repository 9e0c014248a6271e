"""What a careful user writes around an engine that takes token ids only: sorted batches, masked mean, unit length."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.peers import Ids, Vectors

_BATCH_SIZE = 32
_LONGEST = 256


class Padded(NamedTuple):
    """A batch of texts.

    Attributes:
        ids: int32[B, T].
        mask: int32[B, T], one at real tokens.
    """

    ids: Ids
    mask: NDArray[np.int32]


class Loop:
    """An engine as a `Model`."""

    def __init__(self, folder: Path, run: Callable[[Iterable[Padded]], Iterable[Vectors]]) -> None:
        """Puts a tokenizer before an engine.

        Args:
            folder: The model, with its tokenizer.
            run: Takes batches, the next one when it has room, and gives the vectors of each in the same order.
        """
        self._tokenizer, self._run = tokenizer(folder), run

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        """Embeds batches of token ids without padding."""
        return list(self._run(Padded(ids, np.ones_like(ids)) for ids in batches))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embeds texts, texts of like length together."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))  # So that no stream is left with a long one.
        vectors = np.concatenate(list(self._run(_batches([ids[row] for row in order]))))
        return vectors[np.argsort(order)]


def tokenizer(folder: Path) -> Tokenizer:
    """Returns the tokenizer of a model, which cuts at 256 tokens and does not pad."""
    found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found.no_padding()
    found.enable_truncation(_LONGEST)
    return found


def pool(hidden: NDArray[np.float32], mask: NDArray[np.int32]) -> Vectors:
    """Returns the masked mean of hidden states [B, T, D], at unit length."""
    summed = np.matmul(mask[:, None].astype(np.float32), hidden)[:, 0]
    return summed / np.linalg.norm(summed, axis=1, keepdims=True)


def onnx_inputs(batch: Padded) -> dict[str, NDArray[np.int64]]:
    """Returns a batch as an ONNX file of a BERT takes it."""
    ids = batch.ids.astype(np.int64)
    return {"input_ids": ids, "attention_mask": batch.mask.astype(np.int64), "token_type_ids": np.zeros_like(ids)}


def _batches(ids: Sequence[Sequence[int]]) -> Iterator[Padded]:
    for start in range(0, len(ids), _BATCH_SIZE):
        rows = ids[start : start + _BATCH_SIZE]
        shape = len(rows), max(map(len, rows))
        batch = Padded(np.zeros(shape, np.int32), np.zeros(shape, np.int32))
        for row, tokens in enumerate(rows):
            batch.ids[row, : len(tokens)], batch.mask[row, : len(tokens)] = tokens, 1
        yield batch
