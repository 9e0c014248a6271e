"""Token ids for texts of given lengths, and groups of such texts."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minilm_jax.tokens.batching import RaggedIds, Shape

# Few row lengths, so that few programs are compiled.
_ROW_LENGTHS = (16, 64, 128, 256, 512)


def padded_groups(lengths: NDArray[np.int32]) -> Iterator[tuple[NDArray[np.intp], Shape]]:
    """Yield all texts in groups of 16 or fewer of similar length: their indices, and the shape of a padded batch."""
    for shorter, length in itertools.pairwise((0, *_ROW_LENGTHS)):
        texts = np.flatnonzero((lengths > shorter) & (lengths <= length))
        yield from ((group, (16, length)) for group in np.split(texts, range(16, len(texts), 16)) if len(group))


def ragged(lengths: list[int]) -> RaggedIds:
    """Return ids that encode their row and position: row 2 starts 201, 202, …"""
    ids = [100 * row + place + 1 for row, length in enumerate(lengths) for place in range(length)]
    return RaggedIds(np.array(ids, np.int32), np.array(lengths, np.int32))
