"""A loop around engines that accept only token ids: sorted batches, masked mean, unit length."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.peers import Ids, Vectors

_BATCH_SIZE = 32
_MAX_TOKENS = 256


class PaddedBatch(NamedTuple):
    """A batch of texts.

    Attributes:
        ids: Token ids, int32[B, T].
        mask: One for real tokens and zero for padding, int32[B, T].
    """

    ids: Ids
    mask: NDArray[np.int32]


class Loop:
    """An engine as a `TokenModel`."""

    def __init__(self, folder: Path, run: Callable[[Iterable[PaddedBatch]], Iterable[Vectors]]) -> None:
        """Combine an engine with a tokenizer.

        Args:
            folder: Folder of the model, with its tokenizer.
            run: Takes batches and yields the vectors of each in the same order; it may compute several concurrently.
        """
        self._tokenizer, self._run = tokenizer(folder), run

    def embed(self, batches: Sequence[Ids]) -> list[Vectors]:
        """Embed batches of token ids without padding."""
        return list(self._run(PaddedBatch(ids, np.ones_like(ids)) for ids in batches))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts; those of similar length share a batch."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        # The longest batches come first, so that no worker is left with one at the end.
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        vectors = np.concatenate(list(self._run(_batches([ids[row] for row in order]))))
        return vectors[np.argsort(order)]


def tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model, which truncates at 256 tokens and does not pad."""
    found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found.no_padding()
    found.enable_truncation(_MAX_TOKENS)
    return found


def pool(hidden: NDArray[np.float32], mask: NDArray[np.int32]) -> Vectors:
    """Return the masked mean of hidden states [B, T, D], normalized to unit length."""
    summed = np.matmul(mask[:, None].astype(np.float32), hidden)[:, 0]
    return summed / np.linalg.norm(summed, axis=1, keepdims=True)


def onnx_inputs(batch: PaddedBatch) -> dict[str, NDArray[np.int64]]:
    """Return a batch as the inputs of a BERT in ONNX."""
    ids = batch.ids.astype(np.int64)
    return {"input_ids": ids, "attention_mask": batch.mask.astype(np.int64), "token_type_ids": np.zeros_like(ids)}


def _batches(ids: Sequence[Sequence[int]]) -> Iterator[PaddedBatch]:
    for start in range(0, len(ids), _BATCH_SIZE):
        rows = ids[start : start + _BATCH_SIZE]
        shape = len(rows), max(map(len, rows))
        batch = PaddedBatch(np.zeros(shape, np.int32), np.zeros(shape, np.int32))
        for row, tokens in enumerate(rows):
            batch.ids[row, : len(tokens)], batch.mask[row, : len(tokens)] = tokens, 1
        yield batch
